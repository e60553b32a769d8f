//! Programs and the tests that they have to pass (LiveCodeBench).

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};
use crate::score::{Marks, share};

/// A program that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// What it is run on.
    pub tests: Vec<Test>,
    /// The method of `Solution` that is called; without one the program reads and prints.
    pub function: Option<String>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What the program reads, or its arguments as JSON, a line each.
    pub input: String,
    /// What it should print or return.
    pub output: String,
}

/// What every solution may use without importing it, as in the benchmark.
const PRELUDE: &str = "import sys, json\nfrom typing import *\nfrom string import *\nfrom re import *\nfrom datetime import *\nfrom collections import *\nfrom heapq import *\nfrom bisect import *\nfrom copy import *\nfrom math import *\nfrom random import *\nfrom statistics import *\nfrom itertools import *\nfrom functools import *\nfrom operator import *\nimport collections, heapq, bisect, math, itertools, functools, operator, string, re\nsys.setrecursionlimit(50000)\n";

/// Runs the last program of an answer on every test, up to the first that it fails.
///
/// # Errors
/// When no program can be started.
pub(crate) fn marks(answer: &str, program: &Program, sandbox: &Sandbox) -> Result<Marks, String> {
    let Some(code) = last_block(answer) else {
        let why = "no block of code".to_owned();
        return Ok(Marks { why, ..Marks::default() });
    };
    let source = match &program.function {
        Some(function) => format!("{PRELUDE}{code}\n{}", driver(function)),
        None => format!("{PRELUDE}{code}\n"),
    };
    let mut why = format!("passes all {} tests", program.tests.len());
    let mut is_right = !program.tests.is_empty();
    for (number, test) in program.tests.iter().enumerate() {
        let ran = sandbox.run(&source, &test.input)?;
        if let Some(reason) = failure(&ran, test, program.function.is_some()) {
            why = format!("test {} of {}: {reason}", number + 1, program.tests.len());
            is_right = false;
            break;
        }
    }
    let score = share(is_right);
    Ok(Marks {
        strict: score,
        lenient: score,
        prediction: Some(code.to_owned()),
        why,
        ..Marks::default()
    })
}

/// The last block between fences.
fn last_block(answer: &str) -> Option<&str> {
    let blocks: Vec<&str> = answer.split("```").collect();
    // Every second part lies between two fences.
    let last = (blocks.len() - 1) / 2 * 2;
    let block = blocks.get(last.checked_sub(1)?)?;
    let (language, code) = block.split_once('\n')?;
    let is_name = language.trim().chars().all(char::is_alphanumeric);
    Some(if is_name { code } else { block })
}

fn driver(function: &str) -> String {
    format!(
        "_lines = [json.loads(line) for line in sys.stdin.read().split('\\n') if line.strip()]\n\
         print('\\x1e' + json.dumps(Solution().{function}(*_lines)))\n"
    )
}

/// Why a test is not passed, or nothing.
fn failure(ran: &Ran, test: &Test, is_function: bool) -> Option<String> {
    if ran.is_late {
        return Some("its time was up".to_owned());
    }
    if !ran.is_ok {
        let last = ran.stderr.trim().lines().last().unwrap_or("it failed");
        return Some(last.chars().take(200).collect());
    }
    let is_same = match is_function {
        true => {
            let found = ran.stdout.rsplit('\u{1e}').next().unwrap_or("");
            let [found, expected] =
                [found, &test.output].map(|text| serde_json::from_str::<Value>(text.trim()));
            matches!((found, expected), (Ok(found), Ok(expected)) if same(&found, &expected))
        }
        false => same_lines(&ran.stdout, &test.output),
    };
    (!is_same).then(|| "wrong output".to_owned())
}

fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// Lines are compared word by word: as they are, or as numbers.
fn same_lines(found: &str, expected: &str) -> bool {
    let [found, expected] = [found, expected].map(|text| text.trim().lines().collect::<Vec<_>>());
    let line = |(found, expected): (&&str, &&str)| {
        let [found, expected] =
            [found, expected].map(|line| line.split_whitespace().collect::<Vec<_>>());
        found.len() == expected.len()
            && found.iter().zip(&expected).all(|(a, b)| {
                let numbers = a.parse::<f64>().ok().zip(b.parse::<f64>().ok());
                a == b || numbers.is_some_and(|(a, b)| a == b)
            })
    };
    found.len() == expected.len() && found.iter().zip(&expected).all(line)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sandbox::Limits;

    fn test(input: &str, output: &str) -> Test {
        Test { input: input.to_owned(), output: output.to_owned() }
    }

    #[test]
    fn programs_pass_and_fail() {
        let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) else { return };
        let check = |answer: &str, program: &Program, expected: f64, why: &str| {
            let marks = marks(answer, program, &sandbox).unwrap();
            assert_eq!(marks.strict, expected, "{marks:?}");
            assert!(marks.why.contains(why), "{marks:?}");
        };
        let sums =
            Program { tests: vec![test("1 2\n", "3"), test("5 5\n", "10\n")], function: None };
        check(
            "So:\n```python\na, b = map(int, input().split())\nprint(a + b)\n```\nDone.",
            &sums,
            1.0,
            "all 2",
        );
        check("```python\nprint(3)\n```", &sums, 0.0, "test 2 of 2: wrong output");
        check("```python\nprint(x)\n```", &sums, 0.0, "NameError");
        check("no code", &sums, 0.0, "no block");
        let method = Program {
            tests: vec![test("[3, 1, 2]\n1", "[1, 2, 3]")],
            function: Some("order".to_owned()),
        };
        let code = "```python\nclass Solution:\n    def order(self, a: List[int], k: int):\n        print('debug')\n        return sorted(a)\n```";
        check(code, &method, 1.0, "all 1");
    }

    #[test]
    fn the_last_block_counts() {
        assert_eq!(last_block("```python\na\n```\n```\nb\n```"), Some("b\n"));
        assert_eq!(last_block("```python\na\n``` and ``` open"), Some("a\n"));
        assert_eq!(last_block("a"), None);
        assert!(same_lines("1.0 x\n2", "1 x\n2\n") && !same_lines("1\n2", "1 2"));
    }
}
