//! VL-RewardBench: the data set's own columns, as published in parquet or as JSONL, or VLMEvalKit's TSV.
//!
//! ```text
//! parquet  id, query,    response, image {bytes, path}, human_ranking, query_source
//! JSONL    the same; image a path, a data URL or base64
//! TSV      index, question, response, image (base64),   answer,        category
//! ```
//!
//! In a ranking 0 is better.

use std::path::Path;

use schema::{Content, Message, Part, Role, Sample};
use serde::Deserialize;
use serde_json::Value;

use super::{RankingItem, rows};
use crate::Error;

/// A row of either kind.
#[derive(Deserialize)]
struct Row {
    #[serde(alias = "index", default)]
    id: Value,
    #[serde(alias = "question")]
    query: String,
    response: Value,
    image: Value,
    #[serde(alias = "answer")]
    human_ranking: Value,
    #[serde(alias = "category", default)]
    query_source: Option<String>,
}

/// Reads a file of any kind.
pub(super) fn read(path: &Path) -> Result<Vec<RankingItem>, Error> {
    rows::<Row>(path)?.into_iter().map(|(place, row)| item(&row, place)).collect()
}

fn item(row: &Row, place: String) -> Result<RankingItem, Error> {
    let refuse = |reason: String| Error::Benchmark { place: place.clone(), reason };
    let responses: Vec<String> = list(&row.response)
        .and_then(|list| list.iter().map(|text| Some(text.as_str()?.to_owned())).collect())
        .ok_or_else(|| refuse("response is no list of texts".to_owned()))?;
    let ranks: Option<Vec<u64>> =
        list(&row.human_ranking).and_then(|list| list.iter().map(Value::as_u64).collect());
    let (preferred, other) = match (&responses[..], ranks.as_deref()) {
        ([a, b], Some([0, 1])) => (a.clone(), b.clone()),
        ([a, b], Some([1, 0])) => (b.clone(), a.clone()),
        _ => {
            let ranking = &row.human_ranking;
            let num = responses.len();
            return Err(refuse(format!("{num} responses ranked {ranking}, expected 2 and 0, 1")));
        }
    };
    let id = row.id.as_str().map_or_else(|| row.id.to_string(), str::to_owned);
    let source = row.query_source.clone().unwrap_or_default();
    let category = benchmark::vl_rewardbench_category(&id, &source).to_owned();
    let image = image(&row.image).ok_or_else(|| refuse("no image".to_owned()))?;
    Ok(RankingItem {
        prompt: prompt(image, &row.query),
        preferred,
        other,
        category,
        subset: if source.is_empty() { id.clone() } else { source },
        id,
        weight: 1.0,
        place,
    })
}

/// A list as JSON, or as Python prints one.
fn list(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list.clone()),
        Value::String(text) => benchmark::python_list(text),
        _ => None,
    }
}

/// A path or data URL as it is; base64, which is what else a column of images holds, as a data URL.
fn image(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.starts_with("data:") => Some(text.clone()),
        Value::String(text) if looks_like_base64(text) => Some(from_base64(text)),
        Value::String(text) => Some(text.clone()),
        // The path is a name within the archive that the bytes are from.
        Value::Object(image) => match (image.get("bytes"), image.get("path")) {
            (Some(Value::String(bytes)), _) => Some(from_base64(bytes)),
            (_, Some(path)) => self::image(path),
            _ => None,
        },
        _ => None,
    }
}

fn from_base64(text: &str) -> String {
    format!("data:image/jpeg;base64,{text}")
}

/// Longer than any path, and of the letters of base64 alone.
fn looks_like_base64(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\n' | '\r');
    text.len() >= 256 && text.chars().all(letter)
}

/// The image and then the question, in which no tag is to be read.
fn prompt(image: String, query: &str) -> Sample {
    let query = query.replace("<image>", "").trim().to_owned();
    let parts = vec![Part::Image { image: Some(image) }, Part::Text { text: query }];
    let content = Content::Parts(parts);
    Sample { messages: vec![Message { role: Role::User, content }], ..Sample::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let jsonl = folder.path().join("bench.jsonl");
        let lines = [
            r#"{"id":"RLAIF-V-1","query":"Q?","response":["a","b"],"image":"a.png","human_ranking":[1,0],"query_source":"COCO"}"#,
            r#"{"id":"mathverse_7","query":"<image>Q?","response":["a","b"],"image":{"path":"b.png"},"human_ranking":[0,1],"query_source":null}"#,
        ];
        std::fs::write(&jsonl, lines.join("\n")).unwrap();
        let items = read(&jsonl).unwrap();
        let of: Vec<_> =
            items.iter().map(|i| (i.category.as_str(), i.preferred.as_str())).collect();
        assert_eq!(of, [("hallucination", "b"), ("reasoning", "a")]);

        let tsv = folder.path().join("bench.tsv");
        let base64 = "Abc+".repeat(100);
        let text = format!(
            "index\timage\tquestion\tresponse\tanswer\tcategory\n\
             0\t{base64}\tQ?\t\"['it''s \\\\n', \"\"b's\"\"]\"\t[1, 0]\tgeneral\n"
        );
        std::fs::write(&tsv, text.replace("it''s", "it is")).unwrap();
        let items = read(&tsv).unwrap();
        assert_eq!((items[0].preferred.as_str(), items[0].category.as_str()), ("b's", "general"));
        let Content::Parts(parts) = &items[0].prompt.messages[0].content else { panic!("parts") };
        let Part::Image { image: Some(image) } = &parts[0] else { panic!("an image") };
        assert!(image.starts_with("data:image/jpeg;base64,Abc+"));
    }

    #[test]
    fn what_cannot_be_ranked_is_named() {
        let row = |change: &dyn Fn(&mut Value)| {
            let mut row = serde_json::json!({
                "id": 3, "query": "Q?", "response": ["a", "b"], "image": "a.png",
                "human_ranking": [0, 1], "query_source": "povid",
            });
            change(&mut row);
            item(&serde_json::from_value(row).unwrap(), "f:1".to_owned()).unwrap_err().to_string()
        };
        let ties = row(&|row| row["human_ranking"] = serde_json::json!([0, 0]));
        assert_eq!(ties, "f:1: 2 responses ranked [0,0], expected 2 and 0, 1");
    }
}
