//! BFCL: its own decoder and checker on generated calls (`tests/golden/bfcl.py` made what is expected), its files, and
//! a conversation on a class of ours.

use std::path::Path;

use benchmark::{
    Call, Dialogue, Expected, Language, Limits, Sandbox, Scoring, Style, score, score_turns,
};
use serde_json::{Value, json};

use crate::fixture::{Folder, item, scores};

/// What Python reads as a call and we do not, or the other way round.
const OTHERWISE: [&str; 10] = [
    "f(a=x[0])",
    "[(f(a=1))]",
    "f(a=b'x')",
    "f(a=1)(b=2)",
    "f(a=...)",
    "f(a=1+2)",
    "f(a='x'+'y')",
    "(f(a=1))",
    "f(a=0x10)",
    "f(class=1)",
];

fn call((name, arguments): (&String, &Value)) -> Call {
    Call { name: name.clone(), arguments: arguments.as_object().expect("arguments").clone() }
}

#[test]
fn calls_are_checked_as_the_benchmark_checks_them() {
    let golden: Value = serde_json::from_str(include_str!("../golden/bfcl.json")).expect("JSON");
    let mut differing = Vec::new();
    for case in golden["cases"].as_array().expect("cases") {
        let calls = case["expected"].as_array().expect("calls").iter();
        let expected = Expected {
            functions: vec![case["function"].clone()],
            calls: calls.flat_map(|one| one.as_object().expect("a call")).map(call).collect(),
            is_ordered: true,
            language: match case["language"].as_str() {
                Some("java") => Language::Java,
                Some("javascript") => Language::JavaScript,
                _ => Language::Python,
            },
            ..Expected::default()
        };
        let answer = case["answer"].as_str().expect("a text");
        let found = scores(&item(Scoring::Calls(expected)), answer).0 == 1.0;
        // Sums are not worked out.
        if Some(found) != case["right"].as_bool() && !answer.contains("2 + 3") {
            differing.push(case.to_string());
        }
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    let any = item(Scoring::Calls(Expected { is_any: true, ..Expected::default() }));
    for case in golden["relevant"].as_array().expect("cases") {
        let answer = case["answer"].as_str().expect("a text");
        let is_same = Some(scores(&any, answer).0 == 1.0) == case["calls"].as_bool();
        assert_eq!(is_same, !OTHERWISE.contains(&answer), "{answer}");
    }
}

#[test]
fn functions_of_other_languages_are_told_so() {
    let folder = Folder::new();
    let function = |kind: Value| {
        json!([{"name": "go", "description": "Goes.", "parameters": {"type": "dict", "required": ["a"],
            "properties": {"a": kind}}}])
    };
    let row = |id: &str, kind: Value| {
        let question = json!([[{"role": "user", "content": "Go."}]]);
        json!({"id": id, "question": question, "function": function(kind)}).to_string()
    };
    let list = json!({"type": "ArrayList", "description": "Names.", "items": {"type": "String"}});
    folder.write("bfcl/BFCL_v3_java.json", row("java_0", list));
    let map =
        json!({"type": "dict", "description": "Options.", "properties": {"b": {"type": "any"}}});
    folder.write("bfcl/BFCL_v4_simple_javascript.json", row("simple_javascript_0", map));
    let truth = |id: &str, allowed: Value| {
        json!({"id": id, "ground_truth": [{"go": {"a": allowed}}]}).to_string()
    };
    let java = truth("java_0", json!([["x", "y"]]));
    folder.write("bfcl/possible_answer/BFCL_v3_java.json", java);
    let javascript = truth("simple_javascript_0", json!([{"b": [1]}]));
    folder.write("bfcl/possible_answer/BFCL_v4_simple_javascript.json", javascript);
    let items = folder.items("bfcl", Style::Paper);
    let [java, javascript] = &items[..] else { panic!("two items") };
    for part in [
        "Goes. Note that the provided function is in Java 8 SDK syntax.",
        r#""a":{"type":"string","description":"Names. This is Java ArrayList type parameter in string representation. The list elements are of type String; they are not in string representation."}"#,
    ] {
        assert!(java.prompt_text().contains(part), "{}", java.prompt_text());
    }
    let part = r#"Options. This is JavaScript dict type parameter in string representation. The dictionary entries have the following schema; they are not in string representation. {\"b\":{\"type\":\"any\"}}""#;
    assert!(javascript.prompt_text().contains(part), "{}", javascript.prompt_text());
    let right = "[go(a=new ArrayList<>(Arrays.asList(\"x\", \"y\")))]";
    assert_eq!(scores(java, right).0, 1.0);
    assert_eq!(
        (scores(javascript, "[go(a={b: 1})]").0, scores(javascript, "[go(a={})]").0),
        (1.0, 0.0)
    );
}

const LAMPS: &str = r#"
class LampAPI:
    def __init__(self):
        self.lamps = {}
        self._secret = 0

    def _load_scenario(self, scenario, long_context=False):
        self.lamps = scenario.get("lamps", {})

    def switch(self, lamp, on=True):
        if lamp not in self.lamps:
            return {"error": f"no lamp {lamp}"}
        self.lamps[lamp] = on
        return {"lamp": lamp, "on": on}

    def dim(self, lamp):
        return "dimmed"

    def wait(self):
        while True:
            pass
"#;

/// Two turns of one row: in the second `dim` is added.
fn lamps() -> Folder {
    let folder = Folder::new();
    let function = |name: &str| json!({"name": name, "description": "It.", "parameters": {"type": "dict", "properties": {}, "required": []}});
    let documents = ["switch", "dim", "wait"].map(|name| function(name).to_string()).join("\n");
    folder.write("bfcl/multi_turn_func_doc/lamp_api.json", documents);
    let row = json!({"id": "multi_turn_miss_func_0", "question": [[{"role": "user", "content": "Light the hall."}], []],
        "initial_config": {"LampAPI": {"lamps": {"hall": false, "attic": false}}},
        "involved_classes": ["LampAPI"], "missed_function": {"1": ["dim"]}});
    folder.write("bfcl/BFCL_v3_multi_turn_miss_func.json", row.to_string());
    let truth = json!({"id": "multi_turn_miss_func_0", "ground_truth": [["switch(lamp='hall', on=True)"], ["dim(lamp='hall')"]]});
    folder.write("bfcl/possible_answer/BFCL_v3_multi_turn_miss_func.json", truth.to_string());
    folder
}

#[test]
fn several_turns_need_the_classes() {
    let folder = lamps();
    let error = folder.try_load("bfcl", Style::Paper).unwrap_err().to_string();
    assert!(error.contains("need the benchmark's `func_source_code`"), "{error}");
    folder.write("bfcl/func_source_code/other.py", "class OtherAPI:\n    pass\n");
    let error = folder.try_load("bfcl", Style::Paper).unwrap_err().to_string();
    assert!(error.contains("no file of `func_source_code` has the class LampAPI"), "{error}");
    folder.write("bfcl/func_source_code/lamp_api.py", LAMPS);
    let item = &folder.items("bfcl", Style::Paper)[0];
    let prompt = item.prompt_text();
    assert!(prompt.contains("\"switch\"") && !prompt.contains("\"dim\""), "{prompt}");
    let said = [vec!["[switch(lamp='hall')]".to_owned()], Vec::new()];
    assert_eq!(
        score_turns(item, &said, None).unwrap_err(),
        "no sandbox: calls are not executed without one"
    );
    let mut dialogue = Dialogue::of(item).expect("a conversation");
    assert!(dialogue.take("Done.".to_owned(), None).is_err());
}

#[test]
fn conversations_go_on_and_are_compared() {
    let limits = Limits { time: std::time::Duration::from_secs(3), ..Limits::default() };
    let Ok(sandbox) = Sandbox::find(Path::new("python3"), limits) else { return };
    let folder = lamps();
    folder.write("bfcl/func_source_code/lamp_api.py", LAMPS);
    let item = &folder.items("bfcl", Style::Paper)[0];
    let cases: [(&[&str], &str); 7] = [
        (
            &["[switch(lamp='hall')]", "Done.", "<think>Dim?</think>[dim(lamp='hall')]", "Done."],
            "right",
        ),
        (&["[switch(lamp='hall'), dim(lamp='hall')]", "", "[dim(lamp='attic')]", ""], "right"),
        (
            &["[switch(lamp='attic')]", "Done.", "[dim(lamp='hall')]", "Done."],
            "turn 1: LampAPI.lamps is not as expected",
        ),
        (&["[switch(lamp='hall'), switch(lamp='hall')]", "Done.", "No."], "turn 2: no call"),
        (
            &["[switch(lamp='hall')]", "Done.", "[switch(lamp='hall')]", "Done."],
            "turn 2: a result is missing: dimmed",
        ),
        (&["I cannot.", "[dim(lamp='hall')]", ""], "turn 1: no call"),
        (&["[wait()]"], "ended in turn 1 of 2"),
    ];
    for (said, why) in cases {
        let mut dialogue = Dialogue::of(item).expect("a conversation");
        for response in said {
            assert!(dialogue.prompt().is_some(), "{said:?}");
            dialogue.take((*response).to_owned(), Some(&sandbox)).expect("calls are executed");
        }
        assert!(dialogue.prompt().is_none(), "{said:?}");
        let marks = score_turns(item, dialogue.said(), Some(&sandbox)).expect("a score");
        assert_eq!((marks.why.as_str(), marks.strict == 1.0), (why, why == "right"), "{said:?}");
    }
}

#[test]
fn results_are_told_as_the_benchmark_tells_them() {
    let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) else { return };
    let folder = lamps();
    folder.write("bfcl/func_source_code/lamp_api.py", LAMPS);
    let item = &folder.items("bfcl", Style::Paper)[0];
    let mut dialogue = Dialogue::of(item).expect("a conversation");
    let said = [
        "[switch(lamp='moon'), fly(to='it'), exit(), print(sep='')]",
        "[switch(lamp=__import__('os')._exit(0) + 1)]",
    ];
    for response in said {
        dialogue.take(response.to_owned(), Some(&sandbox)).expect("calls are executed");
    }
    let transcript = dialogue.transcript();
    for part in [
        r#"{'role': 'tool', 'name': "switch(lamp='moon')", 'content': '{"error": "no lamp moon"}'}"#,
        r#"'content': "Error during execution: name 'fly' is not defined""#,
        "Function call exit is not allowed.",
        "name 'print' is not defined",
        "[{\"name\":\"dim\"",
        "I have updated some more functions you can choose from. What about now?",
    ] {
        assert!(transcript.contains(part), "{part} in {transcript}");
    }
    // Who does not stop is stopped.
    let mut dialogue = Dialogue::of(item).expect("a conversation");
    let mut num_steps = 0;
    while dialogue.prompt().is_some() {
        dialogue.take("[dim(lamp='hall')]".to_owned(), Some(&sandbox)).expect("calls are executed");
        num_steps += 1;
    }
    assert_eq!(num_steps, 21);
    let broken = LAMPS.replace("self.lamps = {}", "import no_such_module");
    folder.write("bfcl/func_source_code/lamp_api.py", broken);
    let item = &folder.items("bfcl", Style::Paper)[0];
    let reason = score(item, "[dim(lamp='hall')]", Some(&sandbox));
    assert!(reason.is_ok_and(|marks| marks.why == "ended in turn 1 of 2"));
    let mut dialogue = Dialogue::of(item).expect("a conversation");
    let reason = dialogue.take("[dim(lamp='hall')]".to_owned(), Some(&sandbox)).unwrap_err();
    assert!(reason.contains("the classes do not load: ModuleNotFoundError"), "{reason}");
}
