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
    /// The beginning of the program, where only the rest is asked for.
    pub begun: Option<String>,
    /// Whether an answer without two fences is a program as it stands (LiveBench).
    pub is_bare_allowed: bool,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What the program reads, or its arguments as JSON, a line each.
    pub input: String,
    /// What it should print or return.
    pub output: String,
}

/// What every solution may use without importing it (LiveCodeBench, `lcb_runner/evaluation/testing_util.py`).
const PRELUDE: &str = "from string import *\nfrom re import *\nfrom datetime import *\nfrom collections import *\nfrom heapq import *\nfrom bisect import *\nfrom copy import *\nfrom math import *\nfrom random import *\nfrom statistics import *\nfrom itertools import *\nfrom functools import *\nfrom operator import *\nfrom io import *\nfrom sys import *\nfrom json import *\nfrom builtins import *\nfrom typing import *\nimport string\nimport re\nimport datetime\nimport collections\nimport heapq\nimport bisect\nimport copy\nimport math\nimport random\nimport statistics\nimport itertools\nimport functools\nimport operator\nimport io\nimport sys\nimport json\nsys.setrecursionlimit(50000)\n";

/// Runs the program of an answer on every test, up to the first that it fails: strictly what stands between the last
/// two fences, as in the benchmark, leniently the last block that is closed.
///
/// # Errors
/// When no program can be started.
pub(crate) fn marks(answer: &str, program: &Program, sandbox: &Sandbox) -> Result<Marks, String> {
    let strict = match program.is_bare_allowed {
        true => Some(between_fences_or_all(answer)),
        false => between_fences(answer),
    };
    let lenient = last_block(answer);
    let Some(code) = strict.as_deref().or(lenient) else {
        let why = "no block of code".to_owned();
        return Ok(Marks { why, ..Marks::default() });
    };
    let (mut why, mut score) = passes(code, program, sandbox)?;
    let strictly = if strict.is_some() { score } else { 0.0 };
    if let Some(other) = lenient.filter(|block| score == 0.0 && block.trim() != code.trim()) {
        (why, score) = passes(other, program, sandbox)?;
    }
    Ok(Marks {
        strict: strictly,
        lenient: score,
        prediction: Some(code.to_owned()),
        why,
        ..Marks::default()
    })
}

/// What became of a program, and its score.
fn passes(code: &str, program: &Program, sandbox: &Sandbox) -> Result<(String, f64), String> {
    let begun = match &program.begun {
        Some(begun) if !code.starts_with(begun.as_str()) => format!("{begun}\n"),
        _ => String::new(),
    };
    let source = match &program.function {
        Some(function) => format!("{PRELUDE}{begun}{code}\n{}", driver(function)),
        None => format!("{PRELUDE}{begun}{code}\n"),
    };
    for (number, test) in program.tests.iter().enumerate() {
        let ran = sandbox.run(&source, &test.input)?;
        if let Some(reason) = failure(&ran, test, program.function.is_some()) {
            return Ok((format!("test {} of {}: {reason}", number + 1, program.tests.len()), 0.0));
        }
    }
    let num = program.tests.len();
    Ok((format!("passes all {num} tests"), share(num > 0)))
}

/// The lines between the last two that hold a fence.
fn between_fences(answer: &str) -> Option<String> {
    let lines: Vec<&str> = answer.split('\n').collect();
    let fences: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].contains("```")).collect();
    let [.., open, close] = fences[..] else { return None };
    Some(lines[open + 1..close].join("\n"))
}

/// As between the last two fences, or all of an answer that has fewer, as LiveBench has it.
pub(crate) fn between_fences_or_all(answer: &str) -> String {
    let bare = || {
        let inside = answer.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let answer = answer.trim_end();
        let last = answer
            .rsplit_once('\n')
            .filter(|(before, last)| last.contains("```") && !before.contains("```"));
        inside.or(last.map(|(before, _)| before)).unwrap_or(answer).to_owned()
    };
    between_fences(answer.trim_end()).unwrap_or_else(bare)
}

/// The last block that is closed.
pub(crate) fn last_block(answer: &str) -> Option<&str> {
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
         _holder = Solution() if 'Solution' in globals() else sys.modules['__main__']\n\
         print('\\x1e' + json.dumps(getattr(_holder, '{function}')(*_lines)))\n"
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

/// As Python's `==` has it: 1 and 1.0 are the same.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => match (a.is_f64(), b.is_f64()) {
            (false, false) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (a, b) => a == b,
    }
}

/// Lines are compared as they are, or where both hold nothing but decimals, by their values.
fn same_lines(found: &str, expected: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.trim().split('\n').map(|line| line.trim().to_owned()).collect()
    };
    let (found, expected) = (lines(found), lines(expected));
    let line = |(found, expected): (&String, &String)| {
        let decimals =
            |line: &str| line.split_whitespace().map(decimal).collect::<Option<Vec<_>>>();
        found == expected || decimals(found).is_some_and(|found| decimals(expected) == Some(found))
    };
    found.len() == expected.len() && found.iter().zip(&expected).all(line)
}

/// A decimal's sign, digits without zeros at either end, and the power of ten behind its last digit: exact, where a
/// float would hold neighbours the same.
fn decimal(word: &str) -> Option<(bool, String, i64)> {
    let (mantissa, power) = match word.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
        None => (word, 0),
    };
    let is_negative = mantissa.starts_with('-');
    let bare = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ended = digits.trim_end_matches('0');
    let power =
        power.checked_sub(part.len() as i64)?.checked_add((digits.len() - ended.len()) as i64)?;
    let significant = ended.trim_start_matches('0');
    Some(match significant.is_empty() {
        true => (false, String::new(), 0),
        false => (is_negative, significant.to_owned(), power),
    })
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
        let sums = Program {
            tests: vec![test("1 2\n", "3"), test("5 5\n", "10\n")],
            ..Program::default()
        };
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
            ..Program::default()
        };
        let begun = Program { begun: Some("a, b = map(int, input().split())".to_owned()), ..sums };
        check("```python\nprint(a + b)\n```", &begun, 1.0, "all 2");
        let code = "```python\nclass Solution:\n    def order(self, a: List[int], k: int):\n        print('debug')\n        return sorted(a)\n```";
        check(code, &method, 1.0, "all 1");
    }

    #[test]
    fn the_last_block_counts() {
        assert_eq!(last_block("```python\na\n```\n```\nb\n```"), Some("b\n"));
        assert_eq!(last_block("```python\na\n``` and ``` open"), Some("a\n"));
        assert_eq!(last_block("a"), None);
        // The benchmark looks at the last two fences, whatever they open or close.
        assert_eq!(between_fences("```python\na\n```\nb\n```").as_deref(), Some("b"));
        assert_eq!(between_fences("```python\na"), None);
    }

    #[test]
    fn lines_are_the_same_by_letter_or_value() {
        assert!(same_lines("1.0 2\n3e2", "1 2.00\n300\n") && !same_lines("1\n2", "1 2"));
        assert!(!same_lines("1.0 x", "1 x"), "a line with a word is compared as it is");
        assert!(!same_lines("9007199254740993", "9007199254740992"));
        assert!(same_lines("-0.0", "0") && !same_lines("-1", "1"));
    }
}
