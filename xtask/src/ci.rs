//! Every check a change must pass, in the order in which they fail fastest.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::tidy;

/// Runs all checks and stops at the first that fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    let start = Instant::now();
    cargo(root, "fmt --all --check", None)?;
    println!("── tidy");
    tidy::run(root)?;
    cargo(root, "clippy --workspace --all-targets --quiet -- -D warnings", None)?;
    cargo(root, "doc --workspace --no-deps --quiet", Some(("RUSTDOCFLAGS", "-D warnings")))?;
    let num_tests = test(root)?;
    println!("ci: {num_tests} tests passed, {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(root: &Path, arguments: &str, variable: Option<(&str, &str)>) -> Result<()> {
    println!("── cargo {arguments}");
    let mut command = Command::new("cargo");
    let status = command.args(arguments.split(' ')).envs(variable).current_dir(root).status()?;
    ensure!(status.success(), "cargo {arguments} failed");
    Ok(())
}

/// Runs all tests, shows their output as it comes, and counts those that passed.
fn test(root: &Path) -> Result<u64> {
    const ARGUMENTS: &str = "test --workspace";
    println!("── cargo {ARGUMENTS}");
    let mut command = Command::new("cargo");
    let mut child =
        command.args(ARGUMENTS.split(' ')).current_dir(root).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output is piped")?;
    let mut num_tests = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        num_tests += num_passed(&line);
        println!("{line}");
    }
    ensure!(child.wait()?.success(), "cargo {ARGUMENTS} failed");
    ensure!(num_tests > 0, "cargo {ARGUMENTS} ran no test");
    Ok(num_tests)
}

/// `N` in the line `test result: ok. N passed; …` that ends each test binary.
fn num_passed(line: &str) -> u64 {
    let summary =
        line.strip_prefix("test result: ok. ").and_then(|rest| rest.split_once(" passed"));
    summary.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_counted() {
        assert_eq!(num_passed("test result: ok. 13 passed; 0 failed; 0 ignored"), 13);
        assert_eq!(num_passed("test result: FAILED. 1 passed; 1 failed"), 0);
        assert_eq!(num_passed("test group::one ... ok"), 0);
    }
}
