//! Programs and the unit tests they have to pass (LiveBench's `code_generation` and `code_completion`, which are
//! BigCodeBench's).
//!
//! LiveBench/LiveBench, `livebench/process_results/coding/utils.py` (`code_generation_process_results`) and
//! `livebench/code_runner/eval`. Departs from it in that a program runs in the sandbox, with its memory, and that a
//! library of the tests' own that is not there is an error and not a wrong answer.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::code::{between_fences_or_all, last_block};
use crate::sandbox::{Ran, Sandbox, mark};
use crate::score::{Marks, share};

/// Unit tests of a program that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// A class `TestCases` of `unittest`, put behind the program.
    pub tests: String,
    /// What the function is called.
    pub function: String,
    /// What stands before a program that does not define the function: imports and its head.
    pub opening: String,
    /// The beginning of the program, where only the rest is asked for.
    pub begun: Option<String>,
    /// What all of it may take.
    pub time: Duration,
}

/// Runs the tests, and prints what went wrong behind the mark that it reads first: the program itself or one of its
/// tests, as JSON.
const RUNNER: &str = r#"
import builtins, contextlib, io, json, os, sys, time, types, unittest
os.environ.update(TZ="UTC", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", MPLBACKEND="Agg")
time.tzset()
builtins.exit = builtins.quit = None
mark = sys.stdin.readline().strip()
class Unreadable(io.StringIO):
    def read(self, *_): raise IOError
    readline = readlines = read
    def readable(self): return False
sys.stdin = Unreadable()
module = types.ModuleType("__test__")
module.__dict__.update(__builtins__=builtins, __file__="__test__.py", __package__=None, sys=sys, os=os, environ=os.environ)
wrong = []
told, sys.stderr = sys.stdout, io.StringIO()
with contextlib.redirect_stdout(io.StringIO()):
    try:
        exec(compile(SOURCE, "__test__.py", "exec"), module.__dict__)
        sys.modules["__test__"] = module
        result = unittest.TestResult()
        suite = unittest.TestLoader().loadTestsFromTestCase(module.TestCases)
        suite.run(result)
        for test, trace in result.failures + result.errors:
            wrong.append([test.id().split(".")[-1], trace.strip().split("\n")[-1]])
    except BaseException as error:
        wrong.append(["the program", f"{type(error).__name__}: {error}"])
told.write(mark + json.dumps(wrong))
told.flush()
os._exit(0)
"#;

static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^\s*(?:import|from)\s+(\w+)").expect("a pattern that compiles")
});
static MISSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"No module named '(\w+)").expect("a pattern that compiles"));

/// Runs the tests on the program of an answer: strictly what LiveBench takes for it, leniently the last block that is
/// closed.
///
/// # Errors
/// When no program can be started, or the tests need a library that is not there.
pub(crate) fn marks(answer: &str, suite: &Suite, sandbox: &Sandbox) -> Result<Marks, String> {
    let code = between_fences_or_all(answer);
    let (mut why, strict) = verdict(&code, suite, sandbox)?;
    let mut lenient = strict;
    let other = last_block(answer).filter(|block| !strict && block.trim() != code.trim());
    if let Some(other) = other {
        (why, lenient) = verdict(other, suite, sandbox)?;
    }
    let (strict, lenient) = (share(strict), share(lenient));
    Ok(Marks { strict, lenient, prediction: Some(code), why, ..Marks::default() })
}

/// What became of a program, and whether it passes.
fn verdict(code: &str, suite: &Suite, sandbox: &Sandbox) -> Result<(String, bool), String> {
    let source = format!("{}\n{}", whole(code, suite), suite.tests);
    // A text of JSON is one of Python too.
    let program = format!("SOURCE = {}\n{RUNNER}", Value::from(source));
    let mark = mark();
    let ran = sandbox.run_within(&program, &mark, suite.time)?;
    Ok(match failure(&ran, &mark) {
        Some(reason) => match missing(&reason, suite) {
            Some(library) => return Err(format!("the tests need the Python library `{library}`")),
            None => (reason, false),
        },
        None => ("passes all tests".to_owned(), true),
    })
}

/// The program with what the question gave of it.
fn whole(code: &str, suite: &Suite) -> String {
    match &suite.begun {
        Some(begun) if !code.starts_with(begun.as_str()) => format!("{begun}\n{code}"),
        _ if !code.contains(&format!("def {}", suite.function)) => {
            format!("{}\n{code}", suite.opening)
        }
        _ => code.to_owned(),
    }
}

/// The first thing that went wrong, or nothing.
fn failure(ran: &Ran, mark: &str) -> Option<String> {
    if ran.is_late {
        return Some("its time was up".to_owned());
    }
    let wrong: Option<Vec<(String, String)>> =
        ran.behind(mark).and_then(|told| serde_json::from_str(told).ok());
    let Some(wrong) = wrong else {
        let last = ran.stderr.trim().lines().last().unwrap_or("it ended before its tests");
        return Some(last.chars().take(200).collect());
    };
    let (place, reason) = wrong.into_iter().next()?;
    Some(format!("{place}: {reason}").chars().take(200).collect())
}

/// The library that a failure is about, if the question or the tests import it.
fn missing(reason: &str, suite: &Suite) -> Option<String> {
    let name = MISSING.captures(reason)?[1].to_owned();
    let begun = suite.begun.as_deref().unwrap_or_default();
    let given = [suite.tests.as_str(), &suite.opening, begun];
    let mut imports = given.into_iter().flat_map(|text| IMPORT.captures_iter(text));
    imports.any(|import| import[1] == name).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sandbox::Limits;

    const TESTS: &str = "import unittest\nclass TestCases(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(add(1, 2), 3)\n    def test_none(self):\n        self.assertEqual(add(0, 0), 0)\n";

    fn suite() -> Suite {
        Suite {
            tests: TESTS.to_owned(),
            function: "add".to_owned(),
            opening: "import math\ndef add(a, b):\n".to_owned(),
            begun: None,
            time: Duration::from_secs(60),
        }
    }

    #[test]
    fn unit_tests_pass_and_fail() {
        let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) else { return };
        let check = |suite: &Suite, answer: &str, strict: f64, lenient: f64, why: &str| {
            let marks = marks(answer, suite, &sandbox).unwrap();
            assert_eq!((marks.strict, marks.lenient), (strict, lenient), "{marks:?}");
            assert!(marks.why.contains(why), "{marks:?}");
        };
        let suite = suite();
        check(&suite, "```python\ndef add(a, b):\n    return a + b\n```", 1.0, 1.0, "all");
        check(&suite, "def add(a, b):\n    print('x')\n    return a + b", 1.0, 1.0, "all");
        check(&suite, "```\n    return a + b\n```", 1.0, 1.0, "all");
        check(&suite, "```python\ndef add(a, b):\n    return a\n```", 0.0, 0.0, "test_sum");
        check(&suite, "def add(a, b):\n    return input()", 0.0, 0.0, "OSError");
        check(&suite, "no program", 0.0, 0.0, "the program: IndentationError");
        // One that ends the process, or says itself that all is well, has not passed.
        let forged = "import os\nos.write(1, b'0123456789abcdef[]')\nos._exit(0)\ndef add(): 0";
        check(&suite, forged, 0.0, 0.0, "ended");
        let two = "```python\ndef add(a, b):\n    return a + b\n```\nAs in:\n```\nadd(1, 2)";
        check(&suite, two, 0.0, 1.0, "all");
        let begun = "def add(a, b):\n    c = a";
        let rest = Suite { begun: Some(begun.to_owned()), ..suite.clone() };
        check(&rest, "```python\n    return c + b\n```", 1.0, 1.0, "all");
    }

    #[test]
    fn a_library_that_is_not_there_is_no_wrong_answer() {
        let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) else { return };
        let suite = Suite { tests: format!("import no_such_library\n{TESTS}"), ..suite() };
        let answer = "def add(a, b):\n    return a + b";
        let reason = marks(answer, &suite, &sandbox).unwrap_err();
        assert_eq!(reason, "the tests need the Python library `no_such_library`");
        let own = "import their_own\ndef add(a, b):\n    return a + b";
        let suite = self::suite();
        assert_eq!(marks(own, &suite, &sandbox).unwrap().strict, 0.0);
    }
}
