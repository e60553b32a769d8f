//! Benchmarks on one page: figures, and every item with its image, prompt, responses and verdicts, to be filtered.
//!
//! The page runs one script, its own, which its content security policy names by hash; what models and files say is
//! JSON that the script puts on the page as text, never as markup.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, context};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::summary::Fact;
use crate::{Error, image};

/// The page's script.
const SCRIPT: &str = include_str!("items.js");

/// Bytes of images on a page, as data URLs; a browser has to hold them all.
const MAX_IMAGES: usize = 256 << 20;

/// Everything on the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemPage {
    /// The heading.
    pub title: String,
    /// Short facts under the heading: model, judge, sampling.
    pub facts: Vec<Fact>,
    /// The table of figures: headings, then rows.
    pub table: Vec<Vec<String>>,
    /// Lines below the table.
    pub notes: Vec<String>,
    /// The items.
    pub items: Vec<ItemView>,
}

/// An item and what was said to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemView {
    /// The benchmark.
    pub task: String,
    /// What the benchmark groups it under.
    pub subject: String,
    /// Its name.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// The known answer.
    pub gold: String,
    /// Image files relative to the base folder.
    pub images: Vec<String>,
    /// The responses, by run.
    pub responses: Vec<ResponseView>,
}

/// A response and its verdicts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseView {
    /// What the model said.
    pub text: String,
    /// Its length in tokens.
    pub num_tokens: u64,
    /// Scores by the names of the ways of scoring.
    pub scores: Vec<(String, f64)>,
    /// The score that counts; nothing where there is none.
    pub score: Option<f64>,
    /// What decided, and what was wrong.
    pub why: String,
    /// Whether ways of scoring disagree.
    pub is_disputed: bool,
    /// Whether the limit on tokens ended it.
    pub is_cut: bool,
    /// What judges were asked about it, in order.
    pub asked: Vec<AskedView>,
}

/// One question to a judge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AskedView {
    /// Who asked what for.
    pub title: String,
    /// What was asked.
    pub prompt: String,
    /// What was replied.
    pub reply: String,
}

/// Renders the page; image paths are relative to `base`. An image that cannot be read is left out, and said to be.
///
/// # Errors
/// When the page cannot be filled in.
pub fn render_items(page: &ItemPage, base: &Path) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    let facts =
        page.facts.iter().map(|f| context! { name => f.name.as_str(), value => f.value.as_str() });
    let context = context! {
        style => Value::from_safe_string(crate::page::STYLE.to_owned()),
        title => page.title.as_str(),
        facts => facts.collect::<Vec<_>>(),
        table => &page.table,
        notes => &page.notes,
        hash => Value::from_safe_string(hash),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        items => Value::from_safe_string(embedded(&page.items)),
        images => Value::from_safe_string(embedded(&images(page, base))),
    };
    Ok(environment.render_str(include_str!("items.html"), context)?)
}

/// Renders the page to a file; the file is replaced as a whole or not at all.
///
/// # Errors
/// As for [`render_items`], and when the file cannot be written.
pub fn write_items(page: &ItemPage, base: &Path, path: &Path) -> Result<(), Error> {
    crate::page::replace(path, &render_items(page, base)?)
}

/// Data URLs of all images by their paths, each once; empty for one that is left out.
fn images(page: &ItemPage, base: &Path) -> HashMap<String, String> {
    let (mut urls, mut num_bytes) = (HashMap::new(), 0);
    for path in page.items.iter().flat_map(|item| &item.images) {
        if urls.contains_key(path) {
            continue;
        }
        let url = match num_bytes < MAX_IMAGES {
            true => image::data_url(base, path).unwrap_or_default(),
            false => String::new(),
        };
        num_bytes += url.len();
        urls.insert(path.clone(), url);
    }
    urls
}

/// JSON that cannot end the element that holds it.
fn embedded<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_string(value).expect("numbers and texts have a JSON form");
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACK: &str = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>";

    fn page() -> ItemPage {
        let response = ResponseView {
            text: ATTACK.to_owned(),
            scores: vec![(ATTACK.to_owned(), 1.0)],
            asked: vec![AskedView {
                title: ATTACK.to_owned(),
                prompt: ATTACK.to_owned(),
                reply: ATTACK.to_owned(),
            }],
            ..ResponseView::default()
        };
        let item = ItemView {
            task: ATTACK.to_owned(),
            images: vec!["a.png".to_owned(), "gone.png".to_owned()],
            responses: vec![response],
            ..ItemView::default()
        };
        ItemPage {
            title: ATTACK.to_owned(),
            facts: vec![Fact { name: ATTACK.to_owned(), value: ATTACK.to_owned() }],
            table: vec![vec![ATTACK.to_owned()], vec![ATTACK.to_owned()]],
            notes: vec![ATTACK.to_owned()],
            items: vec![item],
        }
    }

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.png"), b"\x89PNG\r\n").unwrap();
        let html = render_items(&page(), folder.path()).unwrap();
        // The page's own three: two of data, one that runs.
        assert_eq!(html.matches("<script").count(), 3);
        assert_eq!(html.matches("</script>").count(), 3);
        assert!(!html.contains("<img src=x"), "{html}");
        assert!(html.contains("data:image/png;base64,iVBORw0K"));
        assert!(html.contains("\"gone.png\":\"\""));
        let hash = STANDARD.encode(Sha256::digest(SCRIPT));
        assert!(html.contains(&format!("script-src 'sha256-{hash}'")));
        // The hash is that of what stands in the element.
        assert!(html.contains(&format!("<script>{SCRIPT}</script>")));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("</"));
    }
}
