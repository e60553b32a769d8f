//! VLMEvalKit's own functions on a thousand generated responses: `tests/golden/vlmevalkit.py` made what is expected.

use benchmark::{Compared, Item, Kit, Next, Scoring, kit_answer, score};
use serde_json::Value;

use crate::fixture::item;

/// Share of cases in which the kit asks SymPy and we the verifier that have to agree.
const AGREED: f64 = 0.97;

struct Golden {
    options: Vec<Vec<String>>,
    cases: Vec<Value>,
}

impl Golden {
    fn read() -> Self {
        let golden: Value =
            serde_json::from_str(include_str!("../golden/vlmevalkit.json")).expect("JSON");
        Self {
            options: serde_json::from_value(golden["options"].clone()).expect("options"),
            cases: golden["cases"].as_array().expect("cases").clone(),
        }
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.cases.iter().filter(move |case| case["kind"] == kind)
    }

    fn options(&self, case: &Value) -> Vec<String> {
        self.options[case["options"].as_u64().expect("a place") as usize].clone()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(text).collect()
}

fn asked(kit: Kit, question: &str) -> Item {
    Item { question: question.to_owned(), kit: Some(kit), ..item(Scoring::Rated) }
}

/// What a kit makes of a response with a model that says these words: its score, prompts, temperatures.
fn play(item: &Item, response: &str, says: &[String]) -> (f64, Vec<String>, Vec<f64>) {
    let (mut replies, mut prompts, mut temperatures) = (Vec::new(), Vec::new(), Vec::new());
    let kit = item.kit.as_ref().expect("a kit");
    loop {
        match kit.next(item, kit_answer(response), &replies, u64::MAX) {
            Next::Ask { prompt, temperature } => {
                replies.push(says[replies.len()].clone());
                prompts.push(prompt);
                temperatures.push(temperature);
            }
            Next::Score { score, .. } => return (score, prompts, temperatures),
        }
    }
}

/// The score that the rules alone give, under VLMEvalKit and under its fork; nothing where a model is asked.
fn by_rule(kit: Kit, response: &str) -> [Option<f64>; 2] {
    let marks = score(&asked(kit, "Q"), response, None).expect("a score");
    let of = |score: Option<f64>, is_open: bool| score.filter(|_| !is_open);
    [of(marks.vlmevalkit, marks.is_unmatched), of(marks.vlmevalkit_fork, marks.is_fork_unmatched)]
}

/// The score of the option at a place where this letter is inferred: none is asked on, `Z` is wrong everywhere.
fn share(letter: &Value, place: usize) -> Option<f64> {
    let letter = letter.as_str()?;
    let is_right = letter == char::from(b'A' + place as u8).to_string();
    Some(f64::from(u8::from(is_right)))
}

#[test]
fn options_are_inferred_alike() {
    let golden = Golden::read();
    for case in golden.of("choice").filter(|case| case["prediction"] != "") {
        let options = golden.options(case);
        for answer in 0..options.len() {
            let kit = Kit::Choice { options: options.clone(), answer };
            let expected = [share(&case["expected"], answer), share(&case["fork"], answer)];
            assert_eq!(by_rule(kit, &text(&case["prediction"])), expected, "{answer} {case}");
        }
    }
    for case in golden.of("first_letter").filter(|case| case["prediction"] != "") {
        for answer in 0..4 {
            let expected = share(&case["expected"], answer).or(Some(0.0));
            let found = by_rule(Kit::FirstLetter { answer }, &text(&case["prediction"]));
            assert_eq!(found[0], expected, "{answer} {case}");
        }
    }
    for case in golden.of("first_word") {
        let answer = case["answer"].as_u64().expect("a place") as usize;
        let kit = Kit::FirstWord { options: golden.options(case), answer };
        let marks = score(&asked(kit, "Q"), &text(&case["prediction"]), None).expect("a score");
        assert_eq!(marks.vlmevalkit, Some(f64::from(u8::from(case["expected"] == true))), "{case}");
    }
}

#[track_caller]
fn check_asked(case: &Value, (prompts, temperatures): (&[String], &[f64])) {
    let expected = texts(&case["prompts"]);
    assert_eq!(prompts[..expected.len()], expected, "{case}");
    let expected: Vec<f64> = serde_json::from_value(case["temperatures"].clone()).expect("numbers");
    assert_eq!(temperatures, expected, "{case}");
}

#[test]
fn a_model_is_asked_in_the_same_words() {
    let golden = Golden::read();
    for case in golden.of("matched") {
        let options = golden.options(case);
        for answer in 0..options.len() {
            let kit = Kit::Choice { options: options.clone(), answer };
            let item = asked(kit, &text(&case["question"]));
            let (score, prompts, temperatures) =
                play(&item, &text(&case["prediction"]), &texts(&case["says"]));
            check_asked(case, (&prompts, &temperatures));
            if let Some(expected) = share(&case["expected"], answer) {
                assert_eq!(score, expected, "{answer} {case}");
            }
        }
    }
    for case in golden.of("yes_no_matched") {
        let item = asked(Kit::YesNo { yes: true }, &text(&case["question"]));
        let (score, prompts, temperatures) =
            play(&item, &text(&case["prediction"]), &texts(&case["says"]));
        check_asked(case, (&prompts, &temperatures));
        assert_eq!(score, f64::from(u8::from(case["expected"] == "Yes")), "{case}");
    }
    for case in golden.of("mathverse") {
        let kit = Kit::Graded { asked: text(&case["question"]), gold: text(&case["gold"]) };
        let (score, prompts, temperatures) =
            play(&asked(kit, "Q"), &text(&case["prediction"]), &texts(&case["says"]));
        check_asked(case, (&prompts, &temperatures));
        assert_eq!(score, f64::from(u8::from(case["expected"] == true)), "{case}");
    }
    let case = golden.of("mathvision_matched").next().expect("a case");
    let compared = Compared::Expression(text(&case["gold"]));
    let kit = Kit::Extracted { asked: text(&case["question"]), compared };
    let (score, prompts, _) =
        play(&asked(kit, "Q"), &text(&case["prediction"]), &texts(&case["says"]));
    assert_eq!((score, prompts), (1.0, texts(&case["prompts"])));
}

#[test]
fn yes_no_and_short_answers_score_alike() {
    let golden = Golden::read();
    for case in golden.of("yes_no").filter(|case| case["prediction"] != "") {
        for yes in [true, false] {
            let expected = match text(&case["expected"]).as_str() {
                "Unknown" => None,
                said => Some(f64::from(u8::from((said == "Yes") == yes))),
            };
            let found = by_rule(Kit::YesNo { yes }, &text(&case["prediction"]));
            assert_eq!(found[0], expected, "{yes} {case}");
        }
    }
    for case in golden.of("short").filter(|case| case["prediction"] != "") {
        let prediction = text(&case["prediction"]);
        let kit = Kit::Relaxed { golds: texts(&case["golds"]) };
        let relaxed = f64::from(u8::from(case["relaxed"] == true));
        assert_eq!(by_rule(kit, &prediction)[0], Some(relaxed), "{case}");
        let kit = Kit::Consensus { answers: texts(&case["people"]) };
        let found = by_rule(kit, &prediction)[0].expect("a score");
        let expected = case["agreement"].as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-9, "{found} {case}");
    }
}

#[test]
fn mathvista_scores_alike() {
    let golden = Golden::read();
    for case in golden.of("mathvista") {
        let line = &case["line"];
        let answer = text(&line["answer"]);
        let compared =
            match (text(&line["question_type"]).as_str(), text(&line["answer_type"]).as_str()) {
                ("multi_choice", _) => {
                    Compared::VistaOption { options: golden.options[0].clone(), answer: 1 }
                }
                (_, "integer") => Compared::Integer(answer),
                (_, "float") => Compared::Float(answer),
                _ => Compared::Never,
            };
        let kit = Kit::Extracted { asked: text(&line["question"]), compared };
        let (score, prompts, _) =
            play(&asked(kit, "Q"), &text(&case["prediction"]), &texts(&case["says"]));
        assert_eq!(prompts.len() as u64, case["num_asked"].as_u64().expect("a number"), "{case}");
        assert_eq!(score, f64::from(u8::from(case["expected"] == true)), "{case}");
        if case["prompts"].is_array() {
            assert_eq!(prompts, texts(&case["prompts"]), "{case}");
        }
    }
}

/// Expressions are compared by SymPy there and by the verifier here.
#[test]
fn expressions_agree_but_for_a_few() {
    let golden = Golden::read();
    let mut differing = Vec::new();
    let mut num = 0;
    for case in golden.of("mathvision") {
        num += 1;
        let compared = Compared::Expression(text(&case["gold"]));
        let kit = Kit::Extracted { asked: String::new(), compared };
        let (score, ..) = play(&asked(kit, "Q"), "It is so", &[text(&case["prediction"])]);
        if (score == 1.0) != (case["expected"] == true) {
            differing.push(case.to_string());
        }
    }
    for case in golden.of("olympiad") {
        num += 1;
        let tolerances = serde_json::from_value(case["tolerances"].clone()).expect("numbers");
        let kit = Kit::Olympiad { gold: text(&case["gold"]), tolerances, is_chinese: false };
        if by_rule(kit, &text(&case["prediction"]))[0]
            != Some(f64::from(u8::from(case["expected"] == true)))
        {
            differing.push(case.to_string());
        }
    }
    let agreed = 1.0 - differing.len() as f64 / f64::from(num);
    assert!(agreed >= AGREED, "{agreed:.3} of {num}:\n{}", differing.join("\n"));
}
