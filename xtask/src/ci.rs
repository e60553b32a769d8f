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

/// The compiler of kernels, as a Python package: newer ones are not asked for, as drivers may be older.
const NVRTC: &str = "nvidia-cuda-nvrtc==13.0.88";

/// Models and whole training steps against their references. Finite differences are left to the CPU: an emulated card
/// is a hundred times slower.
const EMULATED: [&str; 2] = [
    "test --workspace --test llm --test vlm --test vision --test reward -- golden lora features_and log_probs greedy \
     everything values_of scores_and ranking intern_vit dinov2 siglip",
    "test --workspace --lib -- grpo::tests mpo::tests",
];

/// Runs all tests of the workspace, with a compiler of kernels at hand, and then some on an emulated card.
fn test(root: &Path) -> Result<u64> {
    let libraries = kernel_compiler(root)?;
    let compiler = [("LD_LIBRARY_PATH", libraries.as_str()), ("SIGHTLINE_NVRTC", "1")];
    let num_passed = count_passed(root, "test --workspace", &compiler)?;
    EMULATED.iter().try_fold(num_passed, |passed, arguments| {
        Ok(passed + count_passed(root, arguments, &[("SIGHTLINE_DEVICE", "emulator")])?)
    })
}

/// The folder of NVRTC's libraries, installed beside the build if they are not there.
fn kernel_compiler(root: &Path) -> Result<String> {
    let folder = root.join("target/nvrtc");
    let libraries = folder.join("nvidia/cu13/lib");
    if !libraries.is_dir() {
        println!("── pip install {NVRTC}");
        let mut command = Command::new("python3");
        let arguments = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
        let status = command.args(arguments).arg(&folder).arg(NVRTC).status()?;
        ensure!(status.success(), "python3 -m pip install {NVRTC} failed");
    }
    Ok(libraries.to_string_lossy().into_owned())
}

/// Runs tests, shows their output as it comes, and counts those that passed.
fn count_passed(root: &Path, arguments: &str, variables: &[(&str, &str)]) -> Result<u64> {
    println!("── cargo {arguments}");
    let mut command = Command::new("cargo");
    command.args(arguments.split(' ')).envs(variables.iter().copied()).current_dir(root);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("the output is piped")?;
    let mut num_tests = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        num_tests += num_passed(&line);
        println!("{line}");
    }
    ensure!(child.wait()?.success(), "cargo {arguments} failed");
    ensure!(num_tests > 0, "cargo {arguments} ran no test");
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
