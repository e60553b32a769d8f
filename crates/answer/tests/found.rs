//! What fuzzing found, and texts like it that take the most work: each gets its verdict soon.

use std::time::{Duration, Instant};

use answer::{Extraction, compare, read};

/// A test build on a machine that does other work takes far longer than the 50 ms of a release build.
const LONGEST: Duration = Duration::from_secs(2);

/// Entries of a list from formulas with a large number in each.
fn listed(between: &str, num: u32, entry: impl Fn(u32) -> String) -> String {
    (0..num).map(|i| entry(999 - i)).collect::<Vec<_>>().join(between)
}

#[test]
fn large_numbers_in_many_places_are_given_up_soon() {
    let fractions = |num, shift| listed("+", num, |n| format!(r"\frac{{x}}{{{}!}}", n - shift));
    let powers =
        |between, num, shift: u32| listed(between, num, |n| format!("(x+y+{}!)^{{24}}", n - shift));
    let factorials = |shift| listed(",", 60, |n| format!("{}!", n - shift));
    let sums = |shift| {
        listed(",", 30, |n| format!(r"\frac{{1}}{{{}!}}+\frac1{{{}!}}", n - shift, n - shift - 1))
    };
    let cases = [
        (format!("${}$", fractions(40, 0)), "$x$".to_owned()),
        (format!("$({})^2$", fractions(40, 0)), "$x$".to_owned()),
        (format!("${}$", powers("=", 24, 0)), format!("${}$", powers("=", 24, 100))),
        (format!(r"$\{{{}\}}$", powers(",", 30, 0)), format!(r"$\{{{}\}}$", powers(",", 30, 100))),
        (format!(r"$\{{{}\}}$", factorials(0)), format!(r"$\{{{}\}}$", factorials(100))),
        (format!(r"$\{{{}\}}$", sums(0)), format!(r"$\{{{}\}}$", sums(100))),
    ];
    for (gold, prediction) in cases {
        let begun = Instant::now();
        let (first, second) = (read(&gold, Extraction::Bare), read(&prediction, Extraction::Bare));
        let verdict = compare(first.as_ref(), second.as_ref());
        let taken = begun.elapsed();
        assert!(verdict.is_none() && taken < LONGEST, "{gold}: {verdict:?} after {taken:?}");
    }
}
