//! A data set of sums in pictures, and models that answer for it.

use std::path::{Path, PathBuf};

use distill::{DistillConfig, Report, Teachers, distill};
use judge::{Failure, Request, Respond, Scripted};
use schema::Content;
use serde_json::{Value, json};

/// A bitmap of grey values.
pub(crate) fn bmp(side: usize, value: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let row = (side * 3).next_multiple_of(4);
    let size = 54 + row * side;
    let mut bytes = b"BM".to_vec();
    for number in [size, 0, 54, 40, side, side] {
        bytes.extend((number as u32).to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    for y in 0..side {
        let start = bytes.len();
        (0..side).for_each(|x| bytes.extend([value(x, y); 3]));
        bytes.resize(start + row, 0);
    }
    bytes
}

/// A sharp and a flat picture in a folder.
pub(crate) fn pictures(folder: &Path) {
    let board = bmp(16, |x, y| if (x + y) % 2 == 0 { 255 } else { 0 });
    std::fs::write(folder.join("sharp.bmp"), board).unwrap();
    std::fs::write(folder.join("flat.bmp"), bmp(16, |_, _| 99)).unwrap();
}

/// A question about a picture, `number` and one more added up.
pub(crate) fn line(number: usize) -> Value {
    let image = ["sharp.bmp", "flat.bmp"][number % 2];
    json!({
        "id": format!("sum-{number}"),
        "messages": [{ "role": "user", "content": format!("<image>\nItem {number}: what is the sum shown in this picture?") }],
        "images": [image],
        "answer": (number + 1).to_string(),
    })
}

/// Writes a data set and its pictures; returns its path.
pub(crate) fn dataset(folder: &Path, lines: &[Value]) -> PathBuf {
    pictures(folder);
    let path = folder.join("data.jsonl");
    std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
        .unwrap();
    path
}

/// Settings for a data set, with rules for a judge.
pub(crate) fn config(dataset: &Path) -> DistillConfig {
    let output_dir = dataset.parent().unwrap().join("distilled");
    std::fs::create_dir_all(&output_dir).unwrap();
    let config = json!({
        "dataset": dataset, "output_dir": output_dir, "max_new_tokens": 64, "alpha": 0.2,
        "generator": { "model_name_or_path": "stub" },
    });
    serde_json::from_value(config).unwrap()
}

pub(crate) fn run(config: &DistillConfig, generator: &mut dyn Respond) -> Report {
    distill(config, Teachers { generator, judge: None }, &mut |_| {}).unwrap()
}

pub(crate) fn run_judged(
    config: &DistillConfig,
    generator: &mut dyn Respond,
    judge: &mut dyn Respond,
) -> Report {
    distill(config, Teachers { generator, judge: Some(judge) }, &mut |_| {}).unwrap()
}

/// The lines of an output file.
pub(crate) fn lines(config: &DistillConfig, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(config.output_dir.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The words of a request, turn after turn.
pub(crate) fn words(request: &Request<'_>) -> String {
    let text = |content: &Content| match content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => format!("{parts:?}"),
    };
    request.prompt.messages.iter().map(|m| text(&m.content)).collect::<Vec<_>>().join("\n")
}

/// What follows `Item ` in a text, as a number.
pub(crate) fn item(text: &str) -> usize {
    let (_, rest) = text.split_once("Item ").unwrap();
    rest.split(':').next().unwrap().parse().unwrap()
}

/// A response that adds up rightly, but for every third item and without a picture.
pub(crate) fn answer(text: &str, has_image: bool) -> String {
    let number = item(text);
    match has_image {
        true if number.is_multiple_of(3) => {
            format!("<think>\nHm, {number}.\n</think>\n\n\\boxed{{{number}}}")
        }
        true => format!("<think>\nOne more than {number}.\n</think>\n\n\\boxed{{{}}}", number + 1),
        false => "I see nothing: \\boxed{0}".to_owned(),
    }
}

/// What a judge says to a question, by its words: grades, a comparison, or a chain that is right.
pub(crate) fn verdict(text: &str) -> String {
    if text.contains("You mend chains") {
        let number = item(text);
        return format!("<think>\nAdd one to {number}.\n</think>\n\nSo \\boxed{{{}}}.", number + 1);
    }
    let forms = [
        ("{\"relevance\"", r#"{"relevance": 5}"#),
        ("{\"quality\"", r#"{"quality": 4, "difficulty": 2, "demand": 2}"#),
        ("{\"integration\"", r#"{"integration": 3}"#),
        ("{\"correct\"", r#"{"correct": false, "reason": "another number"}"#),
    ];
    forms.iter().find(|(form, _)| text.contains(form)).unwrap().1.to_owned()
}

/// The generator of [`answer`].
pub(crate) fn generator() -> Scripted<impl FnMut(&Request<'_>) -> Result<String, Failure>> {
    Scripted::new(|request| Ok(answer(&words(request), !request.prompt.images.is_empty())))
}

/// The judge of [`verdict`].
pub(crate) fn judge() -> Scripted<impl FnMut(&Request<'_>) -> Result<String, Failure>> {
    Scripted::new(|request| Ok(verdict(&words(request))))
}
