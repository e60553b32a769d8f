//! Reading and writing `messages` files: what is accepted, and where an error points.

use std::fs;

use data::{Dataset, majority_answer, num_image_tags, prompt_of, read_lines, write_lines};
use schema::{Role, Sample};

fn error_of(content: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, content).expect("a file");
    fs::write(folder.path().join("a.png"), b"").expect("a file");
    let error = Dataset::read(&path).expect_err("the file is broken").to_string();
    error.replace(&folder.path().display().to_string(), "DIR")
}

const GOOD: &str =
    r#"{"messages":[{"role":"user","content":"<image>\nWhat?"}],"images":["a.png"],"answer":"7"}"#;

#[test]
fn errors_name_file_and_line() {
    let cases: [(&str, &str); 7] = [
        (r#"{"messages":[}"#, "DIR/rows.jsonl:3:14: expected value"),
        (r#"{"images":[]}"#, "DIR/rows.jsonl:3:13: missing field `messages`"),
        (
            r#"{"messages":[{"role":"judge","content":""}]}"#,
            "DIR/rows.jsonl:3:28: unknown variant `judge`, expected",
        ),
        (
            r#"{"messages":[{"role":"user","content":"What?"}],"images":["a.png"]}"#,
            "DIR/rows.jsonl:3: the text has 0 image tags, but \"images\" has 1 entries",
        ),
        (
            r#"{"messages":[{"role":"user","content":"<image><image>"}],"images":["a.png"]}"#,
            "DIR/rows.jsonl:3: the text has 2 image tags, but \"images\" has 1 entries",
        ),
        (
            r#"{"messages":[{"role":"user","content":"<image>"}],"images":["b.png"]}"#,
            "DIR/rows.jsonl:3: there is no image file DIR/b.png",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image","image":"c.png"}]}]}"#,
            "DIR/rows.jsonl:3: there is no image file DIR/c.png",
        ),
    ];
    for (bad, message) in cases {
        let error = error_of(format!("{GOOD}\n\n{bad}\n{GOOD}\n").as_bytes());
        assert!(error.starts_with(message), "{error:?} is not {message:?}");
    }
}

#[test]
fn other_bytes_and_other_files() {
    let bytes = [GOOD.as_bytes(), b"\n{\"messages\": \"\xFF\"}"].concat();
    assert_eq!(error_of(&bytes), "DIR/rows.jsonl:2: byte 14 of the line is not UTF-8");
    assert!(Dataset::read("no/such.jsonl").unwrap_err().to_string().starts_with("no/such.jsonl: "));
}

#[test]
fn image_parts_count_when_they_take_from_the_list() {
    let line = r#"{"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"<image> and"},
        {"type":"image","image":"a.png"},{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]}]}"#;
    let sample: Sample = serde_json::from_str(line).unwrap();
    assert_eq!(num_image_tags(&sample.messages), 2);
}

#[test]
fn tags_in_the_response_are_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(folder.path().join("a.png"), b"").unwrap();
    let said = |text: &str| {
        let image = r#"{"role":"user","content":"<image>\nWhat?"}"#;
        let answer = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
        format!(r#"{{"messages":[{image},{answer}],"images":["a.png"]}}"#)
    };
    let bad = r#"{"messages":[{"role":"user","content":"<image>"}]}"#;
    fs::write(&path, [&said("The tag <image> stands for it."), bad, "{", GOOD].join("\n")).unwrap();
    let (read, errors) = Dataset::read_what_is_good(&path).unwrap();
    assert_eq!((read.line(0), read.line(1), read.samples.len()), (1, 4, 2));
    assert!(errors[0].to_string().contains("rows.jsonl:2: the text has 1 image tags"));
    assert!(errors[1].to_string().contains("rows.jsonl:3:"), "{}", errors[1]);
}

#[test]
fn written_lines_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let line = r#"{"messages":[{"role":"user","content":"Wie groß?"},{"role":"assistant","content":"4"}],"answer":"4","source":{"row":3}}"#;
    fs::write(&path, format!("{line}\r\n\n{GOOD}")).unwrap();
    fs::write(folder.path().join("a.png"), b"").unwrap();
    let dataset = Dataset::read(&path).unwrap();
    assert_eq!(dataset.place(1), format!("{}:3", path.display()));
    assert_eq!(dataset.image_path("a.png").unwrap(), folder.path().join("a.png"));
    assert_eq!(dataset.image_path("data:image/png;base64,AA=="), None);

    let copy = folder.path().join("copy.jsonl");
    write_lines(&copy, &dataset.samples).unwrap();
    assert_eq!(
        fs::read_to_string(&copy).unwrap(),
        format!("{line}\n{GOOD}\n"),
        "unknown columns are kept"
    );
    let back: Vec<(usize, Sample)> = read_lines(&copy).unwrap();
    assert_eq!(back[1], (2, dataset.samples[1].clone()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no partial file is left");

    let prompt = prompt_of(&dataset.samples[0]);
    assert_eq!(prompt.messages.len(), 1);
    assert_eq!(prompt_of(&prompt).messages[0].role, Role::User);
}

#[test]
fn majority() {
    let sample =
        |answer: Option<&str>| Sample { answer: answer.map(str::to_owned), ..Sample::default() };
    let samples = [sample(Some("7")), sample(None), sample(Some("3")), sample(Some("7"))];
    assert_eq!(majority_answer(&samples), Some(("7", 2.0 / 3.0)));
    assert_eq!(majority_answer(&samples[1..2]), None);
}
