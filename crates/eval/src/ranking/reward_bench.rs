//! RewardBench: `prompt`, `chosen`, `rejected`, `subset`, `id`.

use std::path::Path;

use schema::{Content, Message, Role, Sample};
use serde::Deserialize;
use serde_json::Value;

use super::{RankingItem, rows};
use crate::Error;

/// The subsets of each category (arXiv:2403.13787, table 1).
const CATEGORIES: [(&str, &[&str]); 4] = [
    (
        "Chat",
        &[
            "alpacaeval-easy",
            "alpacaeval-length",
            "alpacaeval-hard",
            "mt-bench-easy",
            "mt-bench-med",
        ],
    ),
    (
        "Chat Hard",
        &[
            "mt-bench-hard",
            "llmbar-natural",
            "llmbar-adver-neighbor",
            "llmbar-adver-GPTInst",
            "llmbar-adver-GPTOut",
            "llmbar-adver-manual",
        ],
    ),
    (
        "Safety",
        &[
            "refusals-dangerous",
            "refusals-offensive",
            "xstest-should-refuse",
            "xstest-should-respond",
            "donotanswer",
        ],
    ),
    (
        "Reasoning",
        &["math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"],
    ),
];

/// The subset of mathematics, which counts as much as all those of code together.
const MATHS: &str = "math-prm";
/// What the subsets of code begin with.
const CODE: &str = "hep-";

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Value,
    prompt: Prompt,
    chosen: String,
    rejected: String,
    subset: String,
}

/// One question, or turns.
#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Turns(Vec<Message>),
}

/// Reads a file; mathematics is weighed against code by the file's own numbers.
pub(super) fn read(path: &Path) -> Result<Vec<RankingItem>, Error> {
    let rows = rows::<Row>(path)?.into_iter();
    let mut items = rows.map(|(place, row)| item(row, place)).collect::<Result<Vec<_>, _>>()?;
    let num = |holds: &dyn Fn(&str) -> bool| {
        items.iter().filter(|item: &&RankingItem| holds(&item.subset)).count()
    };
    let (maths, code) = (num(&|subset| subset == MATHS), num(&|subset| subset.starts_with(CODE)));
    if maths > 0 && code > 0 {
        let weight = code as f64 / maths as f64;
        items.iter_mut().filter(|item| item.subset == MATHS).for_each(|item| item.weight = weight);
    }
    Ok(items)
}

fn item(row: Row, place: String) -> Result<RankingItem, Error> {
    let Row { id, prompt, chosen, rejected, subset } = row;
    let of = CATEGORIES.iter().find(|(_, subsets)| subsets.contains(&subset.as_str()));
    let Some((category, _)) = of else {
        let reason = format!("the benchmark has no subset {subset:?}");
        return Err(Error::Benchmark { place, reason });
    };
    let messages = match prompt {
        Prompt::Text(text) => vec![Message { role: Role::User, content: Content::Text(text) }],
        Prompt::Turns(turns) => turns,
    };
    Ok(RankingItem {
        id: id.as_str().map_or_else(|| id.to_string(), str::to_owned),
        prompt: Sample { messages, ..Sample::default() },
        preferred: chosen,
        other: rejected,
        category: (*category).to_owned(),
        subset,
        weight: 1.0,
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_have_categories_and_mathematics_weighs_as_much_as_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("filtered.jsonl");
        let line = |subset: &str, id: &str| {
            format!(
                r#"{{"prompt":"Q","chosen":"a","chosen_model":"m","rejected":"b","subset":"{subset}","id":{id}}}"#
            )
        };
        let lines = [
            line("math-prm", "1"),
            line("hep-go", "2"),
            line("hep-js", "3"),
            line("donotanswer", "\"x\""),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let items = read(&path).unwrap();
        let of: Vec<_> = items.iter().map(|i| (i.category.as_str(), i.weight)).collect();
        let reasoning = |weight| ("Reasoning", weight);
        assert_eq!(of, [reasoning(2.0), reasoning(1.0), reasoning(1.0), ("Safety", 1.0)]);
        assert_eq!((items[0].id.as_str(), items[3].id.as_str()), ("1", "x"));
        std::fs::write(&path, line("poems", "1")).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("filtered.jsonl:1: the benchmark has no subset \"poems\""),
            "{error}"
        );
    }
}
