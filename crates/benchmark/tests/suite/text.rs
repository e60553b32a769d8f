//! Benchmarks without images.

use std::path::Path;

use benchmark::{Limits, Sandbox, Scoring, Style, score};
use serde_json::{Value, json};

use crate::fixture::{Folder, png, scores};

#[test]
fn mathematics() {
    let folder = Folder::new();
    folder.write("math_500/test.jsonl", r#"{"problem": "Find $x$.", "answer": "\\frac{1}{2}", "subject": "Algebra", "level": 2, "unique_id": "test/algebra/1.json"}"#);
    folder.write(
        "aime_2024/aime.jsonl",
        r#"{"ID": "2024-I-1", "Problem": "Find m+n.", "Answer": 25}"#,
    );
    let item = &folder.items("math_500", Style::Paper)[0];
    assert_eq!(
        item.prompt_text(),
        "Find $x$.\n\nPlease reason step by step, and put your final answer within \\boxed{}."
    );
    assert_eq!(scores(item, "\\boxed{0.5}").0, 1.0);
    let item = &folder.items("aime-2024", Style::Paper)[0];
    assert_eq!((item.id.as_str(), scores(item, "So \\boxed{025}.").0), ("2024-I-1", 1.0));
}

#[test]
fn gpqa_shuffles_by_seed_and_item() {
    let folder = Folder::new();
    folder.write(
        "gpqa/gpqa_diamond.csv",
        "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Record ID,High-level domain\n\
         \"What, then?\",right,w1,w2,w3,rec1,Physics\nAnd now?,right,w1,w2,w3,rec2,Physics\n",
    );
    let items = folder.items("gpqa", Style::Paper);
    assert_eq!(items, folder.items("gpqa", Style::Paper), "the same order each time");
    for item in &items {
        let Scoring::Choice { options, answer } = &item.scoring else { panic!("a choice") };
        assert_eq!(options[*answer], "right");
        let letter = item.gold.split('.').next().unwrap();
        assert_eq!(scores(item, &format!("Therefore.\nAnswer: {letter}")).0, 1.0);
    }
}

#[test]
fn instructions() {
    let folder = Folder::new();
    let row = json!({"key": 1000, "prompt": "Write in two words, without commas.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"relation": "less than", "num_words": 3}]});
    let unknown = json!({"key": 1, "prompt": "Rhyme.", "instruction_id_list": ["poems:rhyme"], "kwargs": [{}]});
    folder.write("ifeval/ifeval_input_data.jsonl", format!("{row}\n{unknown}\n"));
    let loaded = folder.try_load("ifeval", Style::Paper).unwrap();
    assert_eq!(loaded.flaws[0].reason, "unknown instruction \"poems:rhyme\"");
    assert!(loaded.flaws[0].place.ends_with("ifeval_input_data.jsonl:2"));
    let item = &loaded.items[0];
    assert_eq!(item.prompt_text(), "Write in two words, without commas.");
    assert_eq!((scores(item, "Two words").0, scores(item, "Two, words").0), (1.0, 0.0));
}

#[test]
fn calls_of_functions() {
    let folder = Folder::new();
    let function = json!([{"name": "area", "description": "An area.", "parameters": {"type": "dict",
        "required": ["base"], "properties": {"base": {"type": "integer"}, "unit": {"type": "string"}}}}]);
    let question = json!([[{"role": "user", "content": "Area of base 10?"}]]);
    let row = |id: &str| json!({"id": id, "question": question, "function": function}).to_string();
    let two = json!({"id": "m", "question": [[], []], "function": function}).to_string();
    folder.write("bfcl/BFCL_v3_simple.json", format!("{}\n{two}\n", row("simple_0")));
    folder.write(
        "bfcl/possible_answer/BFCL_v3_simple.json",
        json!({"id": "simple_0", "ground_truth": [{"area": {"base": [10], "unit": ["units", ""]}}]}).to_string(),
    );
    folder.write("bfcl/BFCL_v3_irrelevance.json", row("irrelevance_0"));
    folder.write("bfcl/BFCL_v3_live_relevance.json", row("live_relevance_0"));
    folder.write("bfcl/BFCL_v3_multi_turn_base.json", row("multi_turn_base_0"));
    let loaded = folder.try_load("bfcl", Style::Paper).unwrap();
    let reasons: Vec<&str> = loaded.flaws.iter().map(|flaw| flaw.reason.as_str()).collect();
    assert!(reasons[0].contains("possible_answer/BFCL_v3_multi_turn_base.json"), "{reasons:?}");
    assert_eq!(reasons[1], "2 turns where one is expected");
    let [irrelevant, relevant, simple] = &loaded.items[..] else { panic!("three items") };
    assert_eq!((scores(relevant, "[area(base=1)]").0, scores(relevant, "None.").0), (1.0, 0.0));
    assert_eq!(
        (simple.subject.as_str(), simple.gold.as_str()),
        ("simple", r#"area({"base":[10],"unit":["units",""]})"#)
    );
    let prompt = simple.prompt_text();
    assert!(prompt.contains("functions in JSON format that you can invoke.\n[{"), "{prompt}");
    assert!(prompt.contains("\"An area. Note that the provided function is in Python 3 syntax.\""));
    assert_eq!(
        (scores(simple, "[area(base=10)]").0, scores(simple, "[area(base=11)]").0),
        (1.0, 0.0)
    );
    assert_eq!(
        (scores(irrelevant, "None fits.").0, scores(irrelevant, "[area(base=10)]").0),
        (1.0, 0.0)
    );
}

#[test]
fn programs_run_in_a_sandbox_or_not_at_all() {
    let folder = Folder::new();
    let tests = json!([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]).to_string();
    let row = json!({"question_title": "Sum", "question_content": "Add.", "question_id": "abc_a", "difficulty": "easy",
        "starter_code": "", "public_test_cases": tests, "private_test_cases": tests, "metadata": "{}"});
    folder.write("livecodebench/test.jsonl", row.to_string());
    let item = &folder.items("livecodebench", Style::Paper)[0];
    assert_eq!(item.gold, "2 tests");
    let answer = "```python\nprint(sum(map(int, input().split())))\n```";
    assert_eq!(
        score(item, answer, None).unwrap_err(),
        "no sandbox: programs are not run without one"
    );
    if let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) {
        assert_eq!(score(item, answer, Some(&sandbox)).unwrap().strict, 1.0);
    }
}

const UNIT_TESTS: &str = "import unittest\nclass TestCases(unittest.TestCase):\n    def test(self):\n        self.assertEqual(add(1, 2), 3)\n";

fn of_livebench(category: &str, task: &str, gold: &str, mut row: Value) -> String {
    for (column, value) in
        [("question_id", task), ("category", category), ("task", task), ("ground_truth", gold)]
    {
        row[column] = value.into();
    }
    for (column, value) in
        [("turns", json!(["Well?"])), ("livebench_release_date", json!("2024-11-25 00:00:00"))]
    {
        if row[column].is_null() {
            row[column] = value;
        }
    }
    row.to_string()
}

#[test]
fn tasks_of_livebench() {
    let of = of_livebench;
    let folder = Folder::new();
    let lines = [
        of("math", "AMPS_Hard", r"\frac{x}{2}", json!({})),
        of("reasoning", "zebra_puzzle", "rock,4", json!({})),
        of("math", "math_comp", "B", json!({"subtask": "amc_12a"})),
        of("math", "olympiad", "1,2", json!({"subtask": "imo"})),
        of(
            "instruction_following",
            "paraphrase",
            "",
            json!({
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [{}, {"relation": "less than", "num_words": 3}]}),
        ),
        of(
            "data_analysis",
            "tablereformat",
            "a,b\n1,x\n",
            json!({"turns": ["Please convert the Input Table from JSON format to CSV format."]}),
        ),
        of(
            "data_analysis",
            "tablereformat",
            "{\"a\": 1}",
            json!({"turns": ["Source Format: CSV\nTarget Format: JSONL"],
                "livebench_release_date": "2025-04-25"}),
        ),
        of(
            "coding",
            "code_generation",
            "",
            json!({"expected_time": 0.5, "tests": UNIT_TESTS,
            "entry_point": "add", "code_prompt": "def add(a, b):\n"}),
        ),
    ];
    folder.write("livebench/test.jsonl", lines.join("\n"));
    let loaded = folder.try_load("livebench", Style::Paper).unwrap();
    assert!(loaded.flaws.is_empty());
    let [amps, zebra, contest, proof, instructions, table, newer, suite] = &loaded.items[..] else {
        panic!("eight items")
    };
    assert_eq!(scores(amps, "\\boxed{0.5x}").0, 1.0);
    assert_eq!(scores(zebra, "<solution>rock, 5</solution>").0, 0.25);
    assert_eq!(scores(contest, "So BBBBB").0, 1.0);
    assert_eq!(scores(proof, "Answer: 2, 1").0, 0.0);
    // Half for all of them, half for the share.
    assert_eq!(scores(instructions, "Two, words").0, 0.25);
    assert_eq!(scores(table, "Here is the table:\n```\nb,a\nx,1.0\n```").0, 1.0);
    assert_eq!(scores(table, "a,b\n2,x").0, 0.0);
    assert_eq!(scores(newer, "{\"a\": \"1\"}").0, 1.0);
    let answer = "```python\ndef add(a, b):\n    return a + b\n```";
    assert!(score(suite, answer, None).unwrap_err().starts_with("no sandbox"));
    if let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) {
        assert_eq!(score(suite, answer, Some(&sandbox)).unwrap().strict, 1.0);
    }
}

#[test]
fn rows_of_livebench_that_are_not_asked() {
    let of = of_livebench;
    let folder = Folder::new();
    let tests = json!({"expected_time": "soon", "tests": UNIT_TESTS, "entry_point": "add", "code_prompt": ""});
    let instruction = json!({"instruction_id_list": ["count:word"], "kwargs": [{}]});
    let lines = [
        of("data_analysis", "tablereformat", "a", json!({})),
        of("agentic_coding", "agentic_coding", "", json!({})),
        of("coding", "code_completion", "", tests),
        of("instruction_following", "ifbench", "", instruction),
        of("reasoning", "zebra_puzzle", "rock,4", json!({})),
    ];
    folder.write("livebench/test.jsonl", lines.join("\n"));
    let loaded = folder.try_load("livebench", Style::Paper).unwrap();
    let reasons: Vec<&str> = loaded.flaws.iter().map(|flaw| flaw.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "the question names no format that is known",
            "agentic coding needs Docker and a repository",
            "column `expected_time` is soon",
            "unknown instruction \"count:word\""
        ]
    );
    assert_eq!(loaded.items.len(), 1);
}

#[test]
fn a_model_that_judges_text() {
    let folder = Folder::new();
    let row = json!({"id": 30, "prompt": "How?", "chosen": "good", "rejected": "bad", "subset": "alpacaeval-easy"});
    folder.write("rewardbench/filtered-00000.jsonl", row.to_string());
    let item = &folder.items("rewardbench", Style::Paper)[0];
    assert_eq!(item.prompt.messages.len(), 2, "an instruction and a turn");
    assert_eq!(
        (item.subject.as_str(), scores(item, &format!("So [[{}]]", item.gold)).0),
        ("Chat", 1.0)
    );
}

#[test]
fn demonstration_tasks() {
    let folder = Folder::new();
    folder.write("easy_vqa/test/questions.json", r#"[["what shape is there?", "circle", 3]]"#);
    folder.write("easy_vqa/test/images/3.png", png(3));
    let item = &folder.items("easy_vqa", Style::Paper)[0];
    assert_eq!((item.images.len(), scores(item, "\\boxed{circle}").0), (1, 1.0));
    let line = |tags: &str| {
        json!({"id": "d1", "messages": [{"role": "user", "content": format!("{tags}3+4?")}], "images": ["a.png"], "answer": "7"}).to_string()
    };
    folder.write(
        "digits/held_out.jsonl",
        format!("{}\n{}", line("<image>\n"), line("<image><image>")),
    );
    folder.write("digits/a.png", png(4));
    let loaded = folder.try_load("digits", Style::Paper).unwrap();
    assert_eq!(scores(&loaded.items[0], "<think>3+4</think>\\boxed{7}").0, 1.0);
    assert_eq!(loaded.flaws[0].reason, "2 tags <image>, but 1 images");
}
