//! LiveBench's rules on answers by hand; many more are in `tests/golden/livebench.json`.

use super::*;

#[track_caller]
fn check(task: LiveTask, gold: &str, answer: &str, expected: f64) {
    let asked = r"What? $\textbf{(A) }7 \qquad \textbf{(B) }12 \qquad$";
    let found = marks(answer, task, gold, asked).strict;
    assert!((found - expected).abs() < 1e-9, "{task:?} {gold:?} {answer:?}: {found}");
}

#[test]
fn mathematics() {
    check(LiveTask::Contest, "B", "so BBBBB", 1.0);
    check(LiveTask::Contest, "B", r"\boxed{\text{b}}", 1.0);
    check(LiveTask::Contest, "B", "which is 12.", 1.0);
    check(LiveTask::Contest, "B", "AAAAA", 0.0);
    check(LiveTask::Aime, "025", "the answer is 025", 1.0);
    check(LiveTask::Proof, "1,2,3,4", "Answer: 1, 3, 2, 4", 0.5);
    check(LiveTask::Proof, "1,2", r"\boxed{1,2}", 1.0);
    check(LiveTask::Amps, r"\frac{x}{2}", r"\boxed{0.5x}", 1.0);
    check(LiveTask::Amps, "x^2", "it is $y = x^2$", 1.0);
    check(LiveTask::Integrals, "11326/3", r"<solution>\frac{22652}{6}</solution>", 1.0);
    check(LiveTask::Integrals, "3375", "so 3374", 0.0);
}

#[test]
fn reasoning() {
    check(LiveTask::Lies, "yes, no, yes", "**yes, no, yes**", 1.0);
    check(LiveTask::Lies, "yes, no, yes", "**yes, no, no**", 0.0);
    check(LiveTask::LiesInPlace, "yes,no,yes", "<solution>yes,no,no</solution>", 1.0 / 3.0);
    check(LiveTask::Zebra, "rock,4", "<solution>Rock, position 4</solution>", 1.0);
    check(LiveTask::ZebraWord, "four", "***4***", 1.0);
    check(LiveTask::Spatial, "7", "there are **seven** of them", 1.0);
    check(LiveTask::Spatial, "tetrahedra", "**two tetrahedra**", 1.0);
    check(LiveTask::Houses, "ann bob", "**Ann**, **Bob**", 1.0);
    check(LiveTask::Houses, "ann bob", "***Bob, Ann***", 0.0);
    check(LiveTask::Mind, "blue_box", "<solution>the blue_box.</solution>", 1.0);
    check(LiveTask::Navigation, "[3, -1]", "<solution>(3, -1)</solution>", 1.0);
    check(LiveTask::Sudoku, "12\n34", "<solution>1 2\n3 4</solution>", 1.0);
}

#[test]
fn language_and_data() {
    check(LiveTask::Typos, "the café is open", "<solution>the café is open</solution>", 1.0);
    check(LiveTask::Typos, "the cafe", "The cafe", 0.0);
    let words = "a,b,c,d,e,f,g,h";
    check(LiveTask::Connections, words, "<solution>d, c, b, a, e, f, g, x</solution>", 0.5);
    check(LiveTask::ConnectionsBold, words, "**a, b, c, d** and **e, f**", 0.5);
    let plot = "<PLOT_SUMMARY>A one. C three. B two.</PLOT_SUMMARY>";
    check(LiveTask::Plot, "A one. B two. C three.", plot, 1.0 / 3.0);
    check(LiveTask::Columns, "Total Sales", "It is total_sales", 0.0);
    check(LiveTask::Columns, "Total Sales", "It is: total sales.", 1.0);
    check(LiveTask::Join, "{'a': 'b', 'c': 'd'}", "<solution>{'a': 'b', 'c': 'x'}</solution>", 0.5);
    let gold = r#"[{"user_id": 1, "max_consecutive_growth_months": 3}]"#;
    check(LiveTask::Events, gold, &format!("<solution>{gold}</solution>"), 1.0);
    check(LiveTask::Events, gold, "<solution>[]</solution>", 0.0);
}

#[test]
fn boxes() {
    assert_eq!(boxed(r"\boxed{a{b}}").as_deref(), Some("a{b}"));
    assert_eq!(boxed(r"\fbox{$a$}").as_deref(), Some("a"));
    assert_eq!(boxed(r"$\boxed 7$.").as_deref(), Some("7"));
    assert_eq!(boxed(r"\boxed{a"), None);
}

/// Answers that would take long, or much memory, to read as pandas reads them.
#[test]
fn hostile_tables_are_answered_soon() {
    let asked = |format: &str| format!("Source Format: CSV\nTarget Format: {format}");
    let cells = |num: usize| "x,".repeat(num);
    let rows = |num: usize| "x\n".repeat(num);
    let cases = [
        ("CSV", "a,b\n1,2", cells(200_000) + "\n" + &rows(200_000)),
        ("CSV", "a,b\n1,2", "a,b\n".to_owned() + &"1,2,3\n".repeat(50_000)),
        ("CSV", "a,b\n1,2", "\"".repeat(200_001)),
        ("HTML", "<table><tr><th>a<tr><td>1</table>", "<!--<td>".repeat(50_000)),
        (
            "HTML",
            "<table><tr><th>a<tr><td>1</table>",
            "<table>".to_owned() + &"<tr><td colspan=1000 rowspan=1000>x".repeat(2000),
        ),
        ("JSON", "[{\"a\": 1}]", "[".repeat(200_000)),
        ("JSONL", "{\"a\": 1}", "{\"a\": 2}\n{".repeat(30_000)),
        ("Markdown", "|a|\n|-|\n|1|", "|".repeat(200_000)),
    ];
    for (format, gold, answer) in cases {
        let begun = std::time::Instant::now();
        let found = marks(&answer, LiveTask::TableNewer, gold, &asked(format)).strict;
        let taken = begun.elapsed();
        assert!(found == 0.0 && taken.as_secs() < 20, "{format}: {found} after {taken:?}");
    }
}
