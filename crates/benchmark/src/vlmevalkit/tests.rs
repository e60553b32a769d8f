//! The kit's way with responses, step by step.

use std::collections::BTreeMap;

use super::*;
use crate::item::{Scoring, user};

fn item(kit: Kit) -> Item {
    Item {
        id: "1".to_owned(),
        place: String::new(),
        subject: String::new(),
        cluster: String::new(),
        prompt: user(vec![]),
        images: Vec::new(),
        question: "What is it".to_owned(),
        gold: String::new(),
        scoring: Scoring::Rated,
        kit: Some(kit),
        labels: BTreeMap::new(),
    }
}

/// Asks a model that says these words, one after the other: how often it is asked, its last temperature, the score.
fn play(kit: Kit, answer: &str, says: &[&str], draw: u64) -> (usize, f64, f64) {
    let item = item(kit);
    let (mut replies, mut last) = (Vec::new(), 0.0);
    loop {
        match item.kit.as_ref().unwrap().next(&item, answer, &replies, draw) {
            Next::Ask { temperature, .. } => {
                last = temperature;
                replies.push(says[replies.len()].to_owned());
            }
            Next::Score { score, .. } => return (replies.len(), last, score),
        }
    }
}

fn options() -> Vec<String> {
    ["red", "blue"].map(str::to_owned).to_vec()
}

#[test]
fn an_option_is_matched_in_three_tries_or_drawn() {
    let kit = || Kit::Choice { options: options(), answer: 1 };
    assert_eq!(play(kit(), "B", &[], 0), (0, 0.0, 1.0));
    assert_eq!(play(kit(), "azure, I say", &["B"], 0), (1, 0.0, 1.0));
    assert_eq!(play(kit(), "azure, I say", &["hm", "Z"], 0), (2, 0.0, 0.0));
    let silent = ["hm", "hm", "hm"];
    assert_eq!(play(kit(), "azure, I say", &silent, 1), (3, 0.0, 1.0));
    assert_eq!(play(kit(), "azure, I say", &silent, 2), (3, 0.0, 0.0), "Z is drawn");
    // Whoever refuses is not asked about.
    assert_eq!(play(kit(), "Cannot determine the answer", &[], 1), (0, 0.0, 0.0));
}

#[test]
fn the_fork_reads_the_thought_and_its_model_does_not() {
    let item = item(Kit::Choice { options: options(), answer: 1 });
    let kit = item.kit.as_ref().unwrap();
    let response = "<think>\nA or B\n</think>\n\\boxed{B}";
    let Some(Next::Ask { prompt, .. }) = kit.fork_next(&item, response, &[], 0) else {
        panic!("two letters stand alone");
    };
    assert!(prompt.ends_with("Answer: \n\\boxed{B}\nYour output: "), "{prompt}");
    let found = kit.fork_next(&item, response, &["B".to_owned()], 0);
    assert!(matches!(found, Some(Next::Score { score: 1.0, .. })), "{found:?}");
}

#[test]
fn yes_or_no_is_matched_in_five_tries_each_warmer() {
    let kit = || Kit::YesNo { yes: true };
    assert_eq!(play(kit(), "Yes.", &[], 0), (0, 0.0, 1.0));
    assert_eq!(play(kit(), "It surely is", &["Unknown", "Yes"], 0), (2, 0.5, 1.0));
    assert_eq!(play(kit(), "It surely is", &["?"; 5], 0), (5, 2.0, 0.0));
}

#[test]
fn numbers_are_extracted_and_compared_by_rule() {
    let kit = |compared| Kit::Extracted { asked: "How many?".to_owned(), compared };
    let fourteen = || kit(Compared::Integer("14".to_owned()));
    assert_eq!(play(fourteen(), "14", &[], 0), (0, 0.0, 1.0));
    assert_eq!(play(fourteen(), "There are 14 of them", &["14"], 0), (1, 0.0, 1.0));
    assert_eq!(play(fourteen(), "There are 14 of them", &["14 of them"], 0), (1, 0.0, 0.0));
    let half = kit(Compared::Expression(r"\frac{1}{2}".to_owned()));
    assert_eq!(play(half, "It is one half", &["0.5"], 0), (1, 0.0, 1.0));
}

#[test]
fn mathverse_is_extracted_and_graded() {
    let kit = || Kit::Graded { asked: "Q".to_owned(), gold: "C".to_owned() };
    assert_eq!(play(kit(), "Thus C", &["C"], 0), (1, 0.0, 1.0));
    assert_eq!(play(kit(), "Thus 3", &["3", "perhaps", "1"], 0), (3, 0.5, 1.0));
    assert_eq!(play(kit(), "Thus 3", &["3", "0"], 0), (2, 0.0, 0.0));
    assert_eq!(play(kit(), "Thus 3", &["3", "?", "?", "?", "?", "?"], 0), (6, 2.0, 0.0));
}

#[test]
fn a_judgement_is_read_by_a_model() {
    let kit = || Kit::Better { better: 1 };
    assert_eq!(play(kit(), "The second.", &["Answer 2"], 0), (1, 0.0, 1.0));
    assert_eq!(play(kit(), "Both.", &["neither"], 0), (1, 0.0, 0.0));
}
