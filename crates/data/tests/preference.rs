//! Preference files of TRL, ms-swift and MMPR: what is read, what is left out, and where an error points.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::fs;

use data::{PairFlaw, Preferences, num_image_tags};
use schema::{Content, Message, Role};
use serde_json::json;
use tempfile::TempDir;

/// A file with these lines, beside an image `a.png`.
fn folder(lines: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), b"").unwrap();
    fs::write(folder.path().join("pairs.jsonl"), lines.join("\n")).unwrap();
    folder
}

fn read(lines: &[&str]) -> Preferences {
    Preferences::read(folder(lines).path().join("pairs.jsonl"), None).unwrap()
}

fn text(message: &Message) -> &str {
    match &message.content {
        Content::Text(text) => text,
        Content::Parts(parts) => panic!("parts {parts:?}"),
    }
}

/// Lines that hold one and the same pair: "Hi <image>"-less question, good and bad answer.
const LAYOUTS: [&str; 10] = [
    // TRL: text, conversational, with repeated prompt, and implicit in turns or in characters.
    r#"{"prompt":"What?","chosen":" good","rejected":" bad"}"#,
    r#"{"prompt":[{"role":"user","content":"What?"}],"chosen":[{"role":"assistant","content":" good"}],"rejected":[{"role":"assistant","content":" bad"}]}"#,
    r#"{"prompt":"What?","chosen":[{"role":"user","content":"What?"},{"role":"assistant","content":" good"}],"rejected":[{"role":"user","content":"What?"},{"role":"assistant","content":" bad"}]}"#,
    r#"{"chosen":[{"role":"user","content":"What?"},{"role":"assistant","content":" good"}],"rejected":[{"role":"user","content":"What?"},{"role":"assistant","content":" bad"}]}"#,
    r#"{"chosen":"What? good","rejected":"What? bad"}"#,
    r#"{"prompt":[{"role":"user","content":"What?"}],"chosen":[{"role":"assistant","content":[{"type":"text","text":" go"},{"type":"text","text":"od"}]}],"rejected":" bad"}"#,
    // ms-swift.
    r#"{"messages":[{"role":"user","content":"What?"},{"role":"assistant","content":" good"}],"rejected_response":" bad"}"#,
    r#"{"messages":[{"role":"user","content":"What?"},{"role":"assistant","content":" good"}],"rejected_messages":[{"role":"user","content":"What?"},{"role":"assistant","content":" bad"}]}"#,
    r#"{"messages":[{"role":"user","content":"What?"},{"role":"assistant","content":" good"}],"rejected_response":[{"role":"assistant","content":" bad"}]}"#,
    // MMPR.
    r#"{"question":"What?","chosen":" good","rejected":" bad"}"#,
];

#[test]
fn every_layout_gives_the_same_pair() {
    let pairs = read(&LAYOUTS);
    assert_eq!(pairs.report.to_string(), "10 pairs kept, 0 left out");
    for (index, pair) in pairs.pairs.iter().enumerate() {
        let layout = LAYOUTS[index];
        assert_eq!((pair.chosen.as_str(), pair.rejected.as_str()), (" good", " bad"), "{layout}");
        let [question] = pair.prompt.messages.as_slice() else { panic!("{layout}: {pair:?}") };
        assert_eq!((question.role, text(question)), (Role::User, "What?"), "{layout}");
        assert_eq!(pair.conversation(&pair.chosen).messages[1].role, Role::Assistant);
    }
    assert!(pairs.place(3).ends_with("pairs.jsonl:4"));
}

#[test]
fn images_take_their_tags_before_the_question() {
    let pairs = read(&[
        r#"{"image":"a.png","question":"<image>\nWhat?","chosen":"good","rejected":"bad"}"#,
        r#"{"image":["a.png","a.png"],"question":"What?","chosen":"good","rejected":"bad"}"#,
        r#"{"images":["a.png"],"prompt":[{"role":"system","content":"Be."},{"role":"user","content":"What?"}],"chosen":"good","rejected":"bad"}"#,
        r#"{"images":["a.png"],"prompt":[{"role":"user","content":[{"type":"text","text":"What?"}]}],"chosen":"good","rejected":"bad"}"#,
        r#"{"images":["a.png"],"rejected_images":["a.png"],"messages":[{"role":"user","content":"<image>What?"},{"role":"assistant","content":"good"}],"rejected_response":"bad"}"#,
    ]);
    let prompts = pairs.pairs.iter().map(|pair| &pair.prompt);
    for prompt in prompts.clone() {
        assert_eq!(num_image_tags(&prompt.messages), prompt.images.len(), "{prompt:?}");
    }
    assert_eq!(text(&pairs.pairs[0].prompt.messages[0]), "<image>\nWhat?");
    assert_eq!(text(&pairs.pairs[1].prompt.messages[0]), "<image>\n<image>\nWhat?");
    assert_eq!(text(&pairs.pairs[2].prompt.messages[1]), "<image>\nWhat?");
    assert_eq!(prompts.map(|prompt| prompt.images.len()).sum::<usize>(), 6);
}

#[test]
fn pairs_that_teach_nothing_are_counted() {
    let pairs = read(&[
        r#"{"prompt":"What?","chosen":"same","rejected":" same\n"}"#,
        r#"{"prompt":"What?","chosen":"","rejected":"bad"}"#,
        r#"{"prompt":"What?","chosen":"good","rejected":" "}"#,
        r#"{"prompt":"What?","chosen":"good","rejected":"bad"}"#,
        r#"{"prompt":"What?","image":"none.png","chosen":"good","rejected":"bad"}"#,
        r#"{"prompt":"What?","chosen":"same","rejected":"same"}"#,
        r#"{"chosen":[{"role":"user","content":"What?"},{"role":"assistant","content":"same"}],"rejected":[{"role":"user","content":"What?"},{"role":"assistant","content":"same"}]}"#,
    ]);
    assert_eq!((pairs.pairs.len(), pairs.report.num_left_out()), (1, 6));
    assert!(pairs.place(0).ends_with("pairs.jsonl:4"));
    let found = |flaw| {
        let found = &pairs.report.left_out[&flaw];
        (found.count, found.first.rsplit(':').next().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(found(PairFlaw::Identical), (3, 1));
    assert_eq!(found(PairFlaw::EmptyChosen), (1, 2));
    assert_eq!(found(PairFlaw::EmptyRejected), (1, 3));
    assert_eq!(found(PairFlaw::MissingImage), (1, 5));
    let report = pairs.report.to_string();
    assert!(report.starts_with("1 pairs kept, 6 left out: chosen and rejected are the same (3, "));
}

#[test]
fn errors_name_file_and_line() {
    let cases = [
        (r#"{"prompt":"What?","rejected":"bad"}"#, "there is no `chosen`"),
        (r#"{"prompt":"What?","chosen":"good"}"#, "there is no `rejected`"),
        (r#"{"messages":[{"role":"user","content":"What?"}]}"#, "there is no `rejected_response`"),
        (
            r#"{"messages":[{"role":"user","content":"What?"}],"rejected_response":"bad"}"#,
            "`chosen` holds 0 turns () after the prompt, expected one assistant turn of text",
        ),
        (r#"{"chosen":"good","rejected":"bad"}"#, "there is no `prompt`, `question` or `messages`"),
        (
            r#"{"prompt":"What?","chosen":"good","rejected":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
            "`rejected` holds 2 turns (user, assistant) after the prompt",
        ),
        (
            r#"{"question":"<image><image>","image":"a.png","chosen":"good","rejected":"bad"}"#,
            "the text has 2 image tags, but there are 1 images",
        ),
        (
            r#"{"prompt":"What?","images":["a.png"],"rejected_images":["b.png"],"chosen":"good","rejected":"bad"}"#,
            "`rejected_images` differs from `images`",
        ),
        (
            r#"{"prompt":[{"role":"system","content":"Be."}],"images":["a.png"],"chosen":"good","rejected":"bad"}"#,
            "1 images, but no user turn to show them in",
        ),
    ];
    for (line, want) in cases {
        let folder = folder(&[LAYOUTS[0], "", line]);
        let path = folder.path().join("pairs.jsonl");
        let (read, bad) = Preferences::read_what_is_good(&path, None).unwrap();
        let want = format!("{}:3: {want}", path.display());
        assert!(bad[0].to_string().starts_with(&want), "{:?} is not {want:?}", bad[0]);
        assert_eq!((read.pairs.len(), bad.len()), (1, 1));
    }
}

#[test]
fn every_kind_of_bad_line_is_counted_with_its_first_place() {
    let pairs = read(&[
        LAYOUTS[0],
        r#"{"prompt":"a","chosen":"b","rejected":"c","score_chosen":NaN,"score_rejected":1}"#,
        r#"{"prompt":"a","chosen":"b","rejected":"c","score_chosen":2,"score_rejected":-Infinity}"#,
        r#"{"prompt":"a","chosen":"b","rejected":"c","score_chosen":null,"score_rejected":1}"#,
        r#"{"prompt":"a","chosen":"b"}"#,
        r#"{"prompt":"a","rejected":"b"}"#,
        r#"{"prompt":"<image>?","chosen":"b","rejected":"c"}"#,
        r#"{"prompt":"a","chosen":"b""#,
        r#"{"prompt":7,"chosen":"b","rejected":"c"}"#,
    ]);
    assert_eq!((pairs.pairs.len(), pairs.report.num_left_out()), (1, 8));
    let found = |flaw| {
        let found = &pairs.report.left_out[&flaw];
        (found.count, found.first.split("pairs.jsonl:").nth(1).unwrap().to_owned())
    };
    assert_eq!(found(PairFlaw::Score), (3, "2".to_owned()));
    assert_eq!(found(PairFlaw::NoPair), (2, "5: there is no `rejected`".to_owned()));
    let (count, first) = found(PairFlaw::Images);
    assert!(count == 1 && first.starts_with("7: the text has 1 image tags"), "{first}");
    let (count, first) = found(PairFlaw::Line);
    assert!(count == 2 && first.starts_with("8:"), "{first}");
}

#[test]
fn images_are_those_of_the_first_column_that_has_any() {
    let none = json!({ "bytes": null, "path": null });
    let line = |columns: serde_json::Value| {
        let mut line = json!({ "prompt": "What?", "chosen": "good", "rejected": "bad" });
        line.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        read(&[&line.to_string()])
    };
    for columns in [
        json!({ "image": none, "image_path": "a.png" }),
        json!({ "images": [], "image": "a.png" }),
        json!({ "images": null, "image": "", "image_path": "a.png" }),
        json!({ "images": [none], "image": { "bytes": "", "path": "a.png" } }),
    ] {
        let read = line(columns.clone());
        assert_eq!(read.pairs[0].prompt.images, ["a.png"], "{columns}");
    }
    for columns in [json!({ "image": none }), json!({ "images": ["a.png", none] })] {
        let report = line(columns.clone()).report.to_string();
        assert!(report.contains("an image has neither content nor path"), "{columns}: {report}");
    }
}

#[test]
fn messages_beside_both_sides_are_the_chosen_side_again() {
    let turns = |text: &str| json!([{ "role": "user", "content": "What?" }, { "role": "assistant", "content": text }]);
    let mut ultrafeedback = json!({
        "prompt": "What?", "prompt_id": "1", "chosen": turns("good"), "rejected": turns("bad"),
        "messages": turns("good"), "score_chosen": 8.0, "score_rejected": 7.5,
    });
    let with_prompt = ultrafeedback.clone();
    ultrafeedback.as_object_mut().unwrap().remove("prompt");
    let as_prompt = json!({
        "messages": [{ "role": "user", "content": "What?" }], "chosen": "good", "rejected": "bad",
    });
    for line in [with_prompt, ultrafeedback, as_prompt] {
        let read = read(&[&line.to_string()]);
        let pair = &read.pairs[0];
        assert_eq!((pair.chosen.as_str(), pair.rejected.as_str()), ("good", "bad"), "{line}");
        let [question] = pair.prompt.messages.as_slice() else { panic!("{line}: {pair:?}") };
        assert_eq!(text(question), "What?");
    }
}

#[test]
fn older_columns_of_ms_swift_and_alpacas_are_turns() {
    let swift = json!({
        "system": "Be.", "history": [["One?", "1"]], "query": "<image>What?", "response": "good",
        "rejected_response": "bad", "images": ["a.png"], "kept": 1,
    });
    let alpaca = json!({
        "instruction": "What", "input": "is it?", "output": "good", "rejected_response": "bad",
    });
    let mut odd = swift.clone();
    odd["history"] = json!(["One?", "1"]);
    let report = read(&[&odd.to_string()]).report.to_string();
    assert!(report.contains("`history` is no list"), "{report}");
    let read = read(&[&swift.to_string(), &alpaca.to_string()]);
    let [swift, alpaca] = read.pairs.as_slice() else { panic!("{}", read.report) };
    let turns: Vec<(Role, &str)> =
        swift.prompt.messages.iter().map(|turn| (turn.role, text(turn))).collect();
    let want = [
        (Role::System, "Be."),
        (Role::User, "One?"),
        (Role::Assistant, "1"),
        (Role::User, "<image>What?"),
    ];
    assert_eq!(turns, want);
    assert_eq!(swift.prompt.extra.keys().collect::<Vec<_>>(), ["kept"]);
    assert_eq!(text(&alpaca.prompt.messages[0]), "What\nis it?");
    for pair in [swift, alpaca] {
        assert_eq!((pair.chosen.as_str(), pair.rejected.as_str()), ("good", "bad"));
    }
}

#[test]
fn pairs_are_written_in_trls_columns_and_read_back() {
    let line = json!({
        "id": "q1", "prompt": [{"role": "user", "content": "<image>\nWhat?"}], "images": ["a.png"],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
        "score_chosen": 5.86, "score_rejected": -15.5, "answer": "7", "source": "mine",
    });
    let pairs = read(&[&line.to_string()]).pairs;
    assert_eq!(serde_json::to_value(&pairs[0]).unwrap(), line);
    assert!((pairs[0].margin().unwrap() - 21.36).abs() < 1e-12);
    let infinite = data::Preference { score_chosen: Some(f64::INFINITY), ..pairs[0].clone() };
    assert_eq!(infinite.flaw(), Some(PairFlaw::Score));
}

#[test]
fn images_may_lie_elsewhere() {
    let files = folder(&[r#"{"image":"a.png","question":"?","chosen":"a","rejected":"b"}"#]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(files.path().join("pairs.jsonl"), elsewhere.path().join("deep.jsonl")).unwrap();
    let path = elsewhere.path().join("deep.jsonl");
    assert_eq!(Preferences::read(&path, None).unwrap().pairs.len(), 0);
    let pairs = Preferences::read(&path, Some(files.path())).unwrap();
    assert_eq!((pairs.pairs.len(), pairs.folder()), (1, files.path()));
}

#[test]
fn open_data_sets_load_as_they_are() {
    let critic = json!({
        "id": "x", "source": "s", "image": "a.png", "conversations": [
            {"from": "human", "value": "<image>\nQuestion: [What?]\nThe first response: [bad]\nThe second response: [good]"},
            {"from": "gpt", "value": "The better response: [2]"},
        ],
    });
    let stored = json!({ "bytes": "AAAA", "path": "b.png" });
    let rlaif = json!({
        "ds_name": "RLAIF-V", "image": stored, "question": "What?", "chosen": "good", "rejected": "bad", "idx": "1",
    });
    let by_path =
        json!({ "question": "What?", "chosen": "good", "rejected": "bad", "image_path": "a.png" });
    let turns = |text: &str| json!([{ "role": "user", "content": "What?" }, { "role": "assistant", "content": text }]);
    let skywork = json!({ "chosen": turns("good"), "rejected": turns("bad"), "source": "magpie" });
    for (line, image) in [
        (critic, Some("a.png")),
        (rlaif, Some("data:image/unknown;base64,AAAA")),
        (by_path, Some("a.png")),
        (skywork, None),
    ] {
        let read = read(&[&line.to_string()]);
        let pair = &read.pairs[0];
        assert_eq!((pair.chosen.as_str(), pair.rejected.as_str()), ("good", "bad"), "{line}");
        assert_eq!(pair.prompt.images.first().map(String::as_str), image);
        assert_eq!(num_image_tags(&pair.prompt.messages), pair.prompt.images.len());
    }
}

#[test]
fn bad_lines_can_be_left_out() {
    let good = r#"{"prompt":"What?","chosen":"good","rejected":"bad"}"#;
    let same = r#"{"prompt":"What?","chosen":"a","rejected":"a"}"#;
    let folder = folder(&[good, r#"{"prompt":"What?"}"#, "{", same, good]);
    let path = folder.path().join("pairs.jsonl");
    let (read, bad) = Preferences::read_what_is_good(&path, None).unwrap();
    assert_eq!((read.pairs.len(), read.report.num_left_out(), bad.len()), (2, 1, 2));
    assert!(bad[0].to_string().ends_with("pairs.jsonl:2: there is no `chosen`"), "{}", bad[0]);
    assert!(Preferences::read_what_is_good(folder.path().join("no.jsonl"), None).is_err());
}
