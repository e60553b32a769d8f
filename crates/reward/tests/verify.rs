//! Golds and predictions with the verdict they must get.

use std::collections::BTreeSet;
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
        (r"\frac{\pi}{2}", r"\boxed{\dfrac{\pi}{2}}", Why::Expression),
        ("(1, 2)", r"\boxed{(1,2)}", Why::Collection),
        (r"\sqrt 2", r"\boxed{\sqrt2}", Why::Expression),
        ("1 1/2", "1 1/2", Why::Number),
        ("3/2", "1 1/2", Why::Number),
        ("x > 5", "$5 < x$", Why::Relation),
        ("1500", "1.5e3", Why::Number),
        ("$(1+i)^2$", "$2i$", Why::Expression),
        ("7", r"<think>\boxed{8}</think>The answer is $7$.", Why::Number),
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
    assert_eq!((verdict.gold.as_str(), verdict.prediction.as_deref()), ("7", Some("8")));
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["why"], "different");
}

/// Short formulas of large numbers and long expansions.
const LARGE: [&str; 16] = [
    "10^{10^{10}}",
    "9^{9^{9^9}}",
    "9^9^9^9^9",
    "(9^9)!",
    "9^9!!!",
    "2^{1000000007}",
    "(a+b+c+d+e+f)^{1000}",
    "(1+\\sqrt{2}+\\sqrt{3}+\\sqrt{5}+\\sqrt{7}+\\sqrt{11})^{24}",
    "\\binom{10^9}{10^8}",
    "\\sum_{n=1}^{10^{12}} n^n",
    "\\sum_{a=1}^{400} \\sum_{b=1}^{400} \\sum_{c=1}^{400} a b c",
    "\\sqrt[1000000]{2}",
    "\\sqrt{1000000000000000000000000000000000000000000000000000000000000000000000007}",
    "0.000000000000000000000000000000000000000000000000000000000000000000000001",
    "1E300",
    "10^{-999999999}",
];

/// Texts that have cost other verifiers quadratic time, a deep stack or all their memory.
fn hostile() -> Vec<String> {
    let repeat = |text: &str| text.repeat((2 << 20) / text.len());
    let boxed = |text: &str| format!("\\boxed{{{text}}}");
    let many = [
        "{",
        "}",
        "\\",
        "\\boxed{",
        "\\boxed{1}",
        "<think>",
        "</think>",
        "answer: ",
        "9",
        "é",
        "$",
        "=",
        "\\frac{",
        "\\text{",
        "(",
        ", 1",
        "$1$",
        "$x",
        "\\(",
        "\\[",
        "\\[\\]",
        "1 ",
        " 1+",
        "-",
        "^",
        "\0",
        "answer = 1 ",
        "$\\boxed{",
        "final answer ",
        "|",
        "1/",
        "\\sqrt",
        "\\begin{pmatrix}",
        "&",
        "\\\\",
        " [",
        "$$",
        "\n$",
        "\\(\n",
        "\u{202e}",
        "\\frac{1}{2}",
    ];
    let mut texts: Vec<String> = many.map(repeat).into();
    texts.extend(many.iter().map(|text| boxed(&repeat(text))));
    // the longest formulas that are read
    texts.extend(many.iter().map(|text| boxed(&text.repeat(2000 / text.len()))));
    texts.push(format!("{}\\boxed{{7}}", repeat("{")));
    texts.push(format!("{}\n\\)\\boxed{{1}}", repeat("\\(")));
    texts.push(format!("\\boxed{{1}}{}\\]", repeat("\\[")));
    texts.extend(LARGE.map(boxed));
    texts.push(boxed(&format!("{}1{}", "(".repeat(900), ")".repeat(900))));
    texts.push(boxed(&format!("{}1{}", "\\frac{1}{1+".repeat(150), "}".repeat(150))));
    texts.push(boxed(&(1..400).map(|n| format!("{n},")).collect::<String>()));
    texts.push(boxed(&(1..64).map(|n| format!("({n},x),")).collect::<String>()));
    texts.push(boxed(&(1..60).map(|n| format!("\\sqrt{{{n}}},")).collect::<String>()));
    texts.push(boxed(&(1..90).map(|n| format!("(x+{n}y)")).collect::<String>()));
    texts.push(boxed(&(1..120).map(|n| format!("\\sin({n}x)+")).collect::<String>()));
    texts.push(boxed(&"9".repeat(2000)));
    texts.push(boxed(&format!("{}/{}", "9".repeat(900), "7".repeat(900))));
    texts.push(boxed(&"x_".repeat(900)));
    texts
}

#[test]
fn hostile_texts_end_quickly() {
    // 50 ms in a release build on a quiet machine
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
    for text in hostile() {
        for (gold, prediction) in [("$7$", &text), (&*text, &text), ("$x^2$", &text)] {
            // the best of three: other processes share the machine
            let mut elapsed = Duration::MAX;
            for _ in 0..3 {
                let start = Instant::now();
                verify(gold, prediction);
                elapsed = elapsed.min(start.elapsed());
                if elapsed < limit {
                    break;
                }
            }
            let shown: String = text.chars().take(60).collect();
            assert!(elapsed < limit, "{elapsed:?} for {shown:?}… of {} bytes", text.len());
        }
        let verdict = verify("7", &text);
        assert!(verdict.prediction.is_none_or(|answer| answer.len() <= 1024));
        verify(&text, "7");
        reward::format_reward(&text, Opening::InPrompt);
    }
}

/// Golden texts with pieces cut, doubled, swapped and replaced: every text gets a verdict.
#[test]
fn broken_texts_get_a_verdict() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
    let file = testkit::json(format!("{folder}reference.json"));
    let texts: Vec<&str> = file["cases"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|case| [case["gold"].as_str().unwrap(), case["prediction"].as_str().unwrap()])
        .collect();
    let mut state = 20_260_101_u64;
    let mut draw = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let pieces =
        ["{", "}", "$", "\\", "^", "_", "é", "\0", "(", "|", "=", "\\frac", ",", "!", "∞", "%"];
    for round in 0..6000 {
        let mut text: Vec<char> = texts[draw(texts.len())].chars().collect();
        for _ in 0..=draw(4) {
            let (at, other) = (draw(text.len() + 1), draw(text.len() + 1));
            match draw(5) {
                0 => text.truncate(at),
                1 if at < text.len() => drop(text.remove(at)),
                2 => text.splice(at..at, pieces[draw(pieces.len())].chars()).for_each(drop),
                3 => {
                    let part: Vec<char> = text[at.min(other)..at.max(other)].to_vec();
                    text.splice(at..at, part).for_each(drop);
                }
                _ => {
                    let donor: Vec<char> = texts[draw(texts.len())].chars().collect();
                    text.extend(&donor[draw(donor.len())..]);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let gold = texts[round % texts.len()];
        verify(gold, &text);
        verify(&text, gold);
        let same = verify(&text, &text);
        assert_eq!(same, verify(&text, &text), "{text:?}");
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

/// Math-Verify 0.9.0's verdicts: in its own test-suite, and on pairs of ours (`reference_pairs.py`). Where
/// we differ is listed, with reasons in `crates/answer/DISAGREEMENTS.md`.
#[test]
fn the_reference_agrees_but_for_what_is_listed() {
    let cases = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/");
        let file = testkit::json(format!("{folder}{name}"));
        file["cases"].as_array().unwrap().clone()
    };
    let pair = |case: &serde_json::Value| {
        let text = |key: &str| case[key].as_str().unwrap().to_owned();
        (text("gold"), text("prediction"))
    };
    let differing = |name: &str| -> BTreeSet<(String, String)> {
        let differs = |case: &&serde_json::Value| {
            let (gold, prediction) = pair(case);
            verify(&gold, &prediction).equivalent != (case["equivalent"] == true)
        };
        cases(name).iter().filter(differs).map(pair).collect()
    };
    assert_eq!(differing("equivalence.json"), BTreeSet::new());
    let listed: BTreeSet<_> = cases("disagreements.json").iter().map(pair).collect();
    assert_eq!(differing("reference.json"), listed);
}
