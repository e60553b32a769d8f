//! The page of benchmarks, on items made up for the purpose.

use std::path::Path;

use report::{AskedView, Fact, ItemPage, ItemView, ResponseView, write_items};

/// A red 8x8 BMP.
fn picture() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    let (header, pixels) = (54u32, 8 * 24u32);
    bytes.extend((header + pixels).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(header.to_le_bytes());
    bytes.extend(40u32.to_le_bytes());
    bytes.extend([8i32.to_le_bytes(), 8i32.to_le_bytes()].concat());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend([40u8, 40, 200].repeat(64));
    bytes
}

fn response(text: &str, score: Option<f64>) -> ResponseView {
    ResponseView {
        text: text.to_owned(),
        num_tokens: 12,
        scores: score.map(|score| ("strict".to_owned(), score)).into_iter().collect(),
        score,
        why: "found: B".to_owned(),
        is_cut: score == Some(0.0),
        asked: score.map(|_| asked()).into_iter().collect(),
        ..ResponseView::default()
    }
}

fn asked() -> AskedView {
    AskedView {
        title: "judge".to_owned(),
        prompt: "Known answer: B".to_owned(),
        reply: r#"{"correct": true, "reason": "same"}"#.to_owned(),
    }
}

/// A thought of many lines, and a word that no line holds.
fn long() -> String {
    let lines: String = (0..400).map(|i| format!("Step {i}: let $x_{i} = {i}$.\n")).collect();
    format!("<think>\n{lines}</think>\n\n{}\nAnswer: \\boxed{{B}}", "x+".repeat(400))
}

fn item(number: usize) -> ItemView {
    let scores = [Some(1.0), Some(0.0), None, Some(0.5)];
    let text = long();
    let mut first =
        response("<think>\nA or B?\n</think>\n\nAnswer: \\boxed{B}", scores[number % 4]);
    first.is_disputed = number.is_multiple_of(5);
    ItemView {
        task: ["mmmu", "pope"][number % 2].to_owned(),
        subject: ["Art", "Mathematics", "random"][number % 3].to_owned(),
        id: format!("item-{number}"),
        prompt: format!("<image>\nWhat is shown in picture {number}? <b>A. red</b>"),
        gold: "B. blue".to_owned(),
        images: [&["red.bmp"][..], &["red.bmp", "gone.bmp", "red.bmp"], &[]][number % 3]
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        responses: vec![
            first,
            response(if number == 3 { &text } else { "" }, scores[number / 2 % 4]),
        ],
    }
}

#[test]
fn a_page_for_people_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("red.bmp"), picture()).unwrap();
    let cells = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let page = ItemPage {
        title: "Evaluation of a model".to_owned(),
        facts: vec![Fact { name: "judge".to_owned(), value: "none".to_owned() }],
        table: vec![
            cells(["task", "items", "score (95 %)", "disputed"]),
            cells(["MMMU", "30", "50.0 % (33.2 – 66.8)", "6"]),
        ],
        notes: vec!["score: strict, pass@1 over 2 runs; prompts: paper".to_owned()],
        items: (0..60).map(item).collect(),
    };
    // Kept, so that a person can look at it.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("items.html");
    write_items(&page, folder.path(), &path).unwrap();
    let html = std::fs::read_to_string(&path).unwrap();
    assert_eq!(html.matches("data:image/bmp;base64,").count(), 1, "an image is there once");
    for expected in ["50.0 % (33.2 – 66.8)", "item-59", "script-src 'sha256-", "id=\"verdict\""] {
        assert!(html.contains(expected), "{expected}");
    }
}
