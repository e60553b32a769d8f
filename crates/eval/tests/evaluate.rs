//! A whole evaluation on a checkpoint of 345,000 parameters that knows nothing.

use std::path::{Path, PathBuf};

use data::Dataset;
use eval::{
    EvalConfig, Evaluation, Subject, View, compare, evaluate, read_answers, read_questions,
};
use model::feature_cache::FeatureCache;
use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{GenerateConfig, ImageEncoder, Sampling};
use tensor::DType;

/// Other crates' golden cases; the checkpoint is too large to keep twice.
fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A held-out file of five questions over one image; the last repeats the first.
fn held_out(folder: &Path) -> Dataset {
    let image = golden("preprocess/tests/golden/internvl-six-b/image.png");
    std::fs::copy(image, folder.join("image.png")).expect("the folder is writable");
    let line = |i: usize, word: &str| {
        format!(
            r#"{{"id":"q{i}","messages":[{{"role":"user","content":"<image>\nHow many {word}?"}}],"images":["image.png"],"answer":"{i}"}}"#
        )
    };
    let words = ["squares", "red squares", "circles", "lines", "squares"];
    let lines: Vec<String> = words.iter().enumerate().map(|(i, word)| line(i, word)).collect();
    let path = folder.join("held_out.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("the folder is writable");
    Dataset::read(path).expect("a data set")
}

#[test]
fn from_file_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("model/tests/golden/internvl-six-b");
    let vlm = Vlm::load(&model, DType::F32).unwrap();
    let processor = Processor::load(&model).unwrap();
    let questions = read_questions(&held_out(folder.path()), &processor, None).unwrap();
    assert_eq!((questions.len(), questions[1].text.as_str()), (5, "How many red squares?"));

    let mut encoder = ImageEncoder::new(&vlm, FeatureCache::new(None, 1 << 20));
    let mut subject = Subject { vlm: &vlm, processor: &processor, encoder: &mut encoder };
    let generation = GenerateConfig::new(&processor, Sampling::greedy(), 6);
    let config = EvalConfig { generation, blind: true };
    let mut asked = Vec::new();
    let mut progress = |view: View, p: rollout::Progress| asked.push((view, p.num_total));
    let evaluation = evaluate(&mut subject, &questions, &config, &mut progress).unwrap();
    // Equal prompts are asked once; every question has its answer.
    assert!(asked.contains(&(View::Image, 4)) && asked.contains(&(View::Blind, 4)));
    assert_eq!((evaluation.answers.len(), evaluation.blind_answers.len()), (5, 5));
    assert_eq!(evaluation.answers[0].completion, evaluation.answers[4].completion);
    assert_eq!(evaluation.summary.mean_length, 6.0);
    assert_eq!(evaluation.summary.clipped, 1.0);
    // One image and one grey one were encoded.
    assert_eq!(encoder.counts().misses, 2);

    let output = folder.path().join("eval");
    evaluation.write(&output, &config).unwrap();
    let answers = read_answers(&output.join("completions.jsonl")).unwrap();
    assert_eq!(answers, evaluation.answers);
    assert_eq!(Evaluation::read(&output, true).unwrap(), evaluation);
    let paired = compare(&evaluation.answers, &answers).unwrap();
    assert_eq!((paired.num_items, paired.p_value), (5, 1.0));
    let summary = testkit::json(output.join("summary.json"));
    assert_eq!(summary["image"]["num_items"], 5);
    assert_eq!(summary["config"]["generation"]["max_new_tokens"], 6);
    assert!(output.join("completions-blind.jsonl").is_file());
    assert!(evaluation.table("untrained").contains("untrained"));
}

#[test]
fn samples_that_cannot_be_judged_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let processor = Processor::load(&golden("model/tests/golden/internvl-six-b")).unwrap();
    let check = |lines: &str, expected: &str| {
        let path = folder.path().join("held_out.jsonl");
        std::fs::write(&path, lines).unwrap();
        let result = read_questions(&Dataset::read(path).unwrap(), &processor, None);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error} instead of {expected}");
    };
    let asked = r#"{"messages":[{"role":"user","content":"1+1?"}]"#;
    check(&format!("{asked},\"answer\":\"2\"}}\n{asked}}}"), "held_out.jsonl:2: no `answer`");
    check(&format!("{asked},\"answer\":\"\"}}"), "held_out.jsonl:1: no `answer`");
    check("", "held_out.jsonl: no questions");
    let long = "word ".repeat(5000);
    check(
        &format!(r#"{{"messages":[{{"role":"user","content":"{long}"}}],"answer":"2"}}"#),
        "held_out.jsonl:1: ",
    );
}
