//! Golds and predictions with the verdict they must get.

use std::time::{Duration, Instant};

use reward::{Opening, Why, verify};

#[test]
fn equivalent_answers() {
    for (gold, prediction, why) in [
        ("7", r"<think>3+4</think>\boxed{7}", Why::Number),
        ("7", r"<think>\boxed{8}</think>\boxed{7}", Why::Number),
        ("$7$", "The answer is 7.", Why::Number),
        (r"\boxed{7}", "7", Why::Number),
        ("-7", r"\boxed{−7}", Why::Number),
        ("7", "3+4=7", Why::Number),
        ("7", r"$x = 7$", Why::Number),
        ("$x=7$", r"\boxed{7}", Why::Number),
        ("$k=1$", "1", Why::Number),
        ("7", r"\boxed{7.}", Why::Number),
        ("7", r"\boxed{\text{7}}", Why::Number),
        ("1/3", r"\boxed{\left( \frac{1}{3} \right)}", Why::Number),
        ("1/3", r"$\frac{1}{3} \textbf{meters}$", Why::Number),
        ("125", r"\boxed{125\,\text{miles}}", Why::Number),
        ("90", r"\boxed{90^\circ}", Why::Number),
        (r"90^{\circ}", r"\boxed{90°}", Why::Number),
        ("1234", r"\boxed{1{,}234}", Why::Number),
        ("14400", r"\boxed{14\,400}", Why::Number),
        (r"28\%", "28 %", Why::Number),
        ("$5", r"\boxed{\$5}", Why::Number),
        ("red", "Answer: Red.", Why::Text),
        ("dark red", r"\boxed{\text{Dark  red}}", Why::Text),
        ("yes", "**Yes**", Why::Text),
        (r"\frac{\pi}{2}", r"\boxed{\dfrac{\pi}{2}}", Why::Text),
        ("(1, 2)", r"\boxed{(1,2)}", Why::Text),
        (r"\sqrt 2", r"\boxed{\sqrt2}", Why::Text),
        ("1 1/2", "1 1/2", Why::Text),
        ("B", "(B)", Why::Choice),
        ("B", "B. 12 cm", Why::Choice),
        ("B", "(B) A red car", Why::Choice),
        ("(B)", r"\boxed{\text{B}}", Why::Choice),
        ("B", r"<think>A or B</think>The correct answer is **B**.", Why::Choice),
        ("B", "b", Why::Choice),
        ("B", "2. B", Why::Choice),
        ("B", r"\boxed{\text{Option B}}", Why::Choice),
    ] {
        let verdict = verify(gold, prediction);
        assert_eq!(verdict.why, why, "{gold} | {prediction} | {verdict:?}");
        assert_eq!(verdict.equivalent, why != Why::Different);
    }
}

#[test]
fn different_answers() {
    for (gold, prediction, why) in [
        ("7", r"\boxed{8}", Why::Different),
        ("7", r"\boxed{7} or \boxed{8}", Why::Different),
        ("7", r"\boxed{70}", Why::Different),
        ("7", r"\boxed{-7}", Why::Different),
        ("5", r"x \leq 5", Why::Different),
        ("5", "x <= 5", Why::Different),
        ("5", "x != 5", Why::Different),
        ("3/2", "1 1/2", Why::Different),
        ("11/2", "1 1/2", Why::Different),
        ("1/2", "21", Why::Different),
        ("2x+z=1", "1", Why::Different),
        ("B", "C", Why::Different),
        ("B", "A or B", Why::Different),
        ("B", "Blue", Why::Different),
        ("B", "5B", Why::Different),
        ("B", "", Why::NoAnswer),
        ("7", "<think>a</think> \n", Why::NoAnswer),
        ("7", r"\boxed{}", Why::NoAnswer),
        ("7", r"<think>\boxed{7}", Why::UnfinishedThought),
        ("", "7", Why::NoGold),
        ("red", "red car", Why::Different),
        ("23", "2*3", Why::Different),
        ("fg", r"f \circ g", Why::Different),
        ("7", r"\boxed{7 \text{ or } 8}", Why::Different),
    ] {
        let verdict = verify(gold, prediction);
        assert_eq!(verdict.why, why, "{gold} | {prediction} | {verdict:?}");
        assert!(!verdict.equivalent);
    }
}

#[test]
fn a_thought_opened_by_the_prompt_must_be_closed() {
    let completion = r"so 3+4 = \boxed{7}";
    assert!(verify("7", completion).equivalent);
    assert_eq!(verify("7", &Opening::InPrompt.response(completion)).why, Why::UnfinishedThought);
}

#[test]
fn a_verdict_shows_what_was_compared() {
    let verdict = verify("$7$", r"<think>a</think>So \boxed{ 8 }.");
    assert_eq!((verdict.gold.as_str(), verdict.prediction.as_deref()), ("$7$", Some("8")));
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["why"], "different");
}

/// Texts of four megabytes that have cost other extractors quadratic time or a deep stack.
fn hostile() -> Vec<String> {
    let repeat = |text: &str| text.repeat((4 << 20) / text.len());
    let boxed = |text: &str| format!("\\boxed{{{}}}", repeat(text));
    let mut texts: Vec<String> = [
        "{", "}", "\\", "\\boxed{", "<think>", "</think>", "answer: ", "9", "é", "$", "=",
        "\\frac{", "\\text{", "(", ", 1",
    ]
    .map(repeat)
    .into();
    texts.extend([
        boxed("{}"),
        boxed("9"),
        boxed("\\text{"),
        boxed("1/"),
        format!("{}{}", repeat("{"), "\\boxed{7}"),
    ]);
    texts
}

#[test]
fn hostile_texts_end_quickly() {
    for text in hostile() {
        let start = Instant::now();
        let verdict = verify("7", &text);
        verify(&text, "7");
        reward::format_reward(&text, Opening::InPrompt);
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_millis(500), "{elapsed:?} for {:?}…", &text[..8]);
        assert!(verdict.prediction.is_none_or(|answer| answer.len() <= 1024));
    }
}

#[test]
fn any_text_gets_a_verdict() {
    // short texts of awkward pieces, all combinations of four
    let pieces = [
        "\\", "{", "}", "\\boxed{", "\\frac", "1", "-", "é", "^", "\\text", ",", "%", "/", "=", " ",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        texts = texts.iter().flat_map(|t| pieces.map(|p| format!("{t}{p}"))).collect();
    }
    for text in &texts {
        verify("1", text);
        verify(text, text);
    }
}

/// What math-verify 0.9.0 decides in its own test-suite. The complete engine will agree on all of these; until
/// then the number may only rise, and nothing different may pass as equal.
#[test]
fn the_golden_cases_so_far() {
    let file = testkit::json(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/equivalence.json"));
    let cases = file["cases"].as_array().unwrap();
    let mut num_agreed = 0;
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let (got, want) =
            (verify(text("gold"), text("prediction")).equivalent, case["equivalent"] == true);
        assert!(want || !got, "wrongly equal: {case}");
        num_agreed += usize::from(got == want);
    }
    assert!(num_agreed >= 80, "{num_agreed} of {}", cases.len());
}
