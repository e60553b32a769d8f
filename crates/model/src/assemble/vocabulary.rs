//! Rows of embedding and head for the image tokens.
//!
//! As InternVL's trainer does it: both tables are cut or grown to the tokenizer's size (padding
//! rows go), the head's new rows are the mean of the old ones, so that no image token is likelier
//! than another token, and the embedding's new rows are drawn small. Tables that are one and the
//! same get the mean.

use serde_json::Value;

use super::initial::Draws;
use super::source::LanguageModel;
use super::{IMAGE_TOKENS, Language, image_token_id};
use crate::Error;
use crate::vlm::LLM_PREFIX;
use crate::vlm::files::token_id;

/// What transformers initialises embeddings with when a configuration does not say.
const INITIALIZER_RANGE: f64 = 0.02;

/// The image tokens and the size of the tables that hold them.
pub(super) struct Vocabulary {
    /// Rows of the new tables.
    pub(super) size: usize,
    /// Rows of the old tables that tokens had.
    old_size: usize,
    /// Token, id, and whether its row is new.
    tokens: Vec<(&'static str, u32, bool)>,
}

impl Vocabulary {
    /// `rows` is the size of the language model's tables.
    pub(super) fn new(language: &Language, rows: usize) -> Result<Self, Error> {
        let (before, after) = (language.original_tokenizer, language.tokenizer);
        let entry = |token| {
            let id = image_token_id(after, token)?;
            Ok((token, id, token_id(before, token).is_none()))
        };
        let tokens = IMAGE_TOKENS.into_iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
        let any_new = tokens.iter().any(|(_, _, new)| *new);
        let old_size = num_ids(before);
        if old_size > rows {
            let reason = format!(
                "the tokenizer has ids up to {}, but the embedding table has {rows} rows; the \
                 tokenizer belongs to another model",
                old_size - 1
            );
            return Err(Error::Assemble { reason });
        }
        let size = if any_new { num_ids(after) } else { rows };
        Ok(Self { size, old_size, tokens })
    }

    /// The image tokens, their ids, and whether their rows are new.
    pub(super) fn image_tokens(&self) -> Vec<(String, u32, bool)> {
        self.tokens.iter().map(|&(token, id, new)| (token.to_owned(), id, new)).collect()
    }

    /// Takes a tensor of the language model; embedding and head with the rows of the new tokens.
    pub(super) fn take(
        &self,
        llm: &mut LanguageModel,
        name: &str,
        shape: &[usize],
        seed: u64,
    ) -> Result<Vec<f32>, Error> {
        let is_embedding = name == format!("{LLM_PREFIX}model.embed_tokens.weight");
        if !is_embedding && name != format!("{LLM_PREFIX}lm_head.weight") {
            return llm.checkpoint.take(name, shape);
        }
        let width = shape[1];
        let mut rows = llm.checkpoint.take(name, &[llm.config.vocab_size, width])?;
        if is_embedding && !llm.config.tied_head {
            let std = llm.json["initializer_range"].as_f64().unwrap_or(INITIALIZER_RANGE);
            let mut draws = Draws::new(seed, Draws::EMBEDDING);
            self.fill(&mut rows, width, |row| {
                row.iter_mut().for_each(|value| *value = (std * draws.normal()) as f32);
            });
        } else {
            let mean = mean_row(&rows[..self.old_size * width], width);
            self.fill(&mut rows, width, |row| row.copy_from_slice(&mean));
        }
        Ok(rows)
    }

    /// Cuts or grows the table, then writes the rows of the new tokens.
    fn fill(&self, rows: &mut Vec<f32>, width: usize, mut write: impl FnMut(&mut [f32])) {
        rows.resize(self.size * width, 0.0);
        for &(_, id, _) in self.tokens.iter().filter(|(_, _, new)| *new) {
            write(&mut rows[id as usize * width..][..width]);
        }
    }
}

/// One more than the largest id of a `tokenizer.json`.
fn num_ids(tokenizer: &Value) -> usize {
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|entry| entry["id"].as_u64());
    let vocab = tokenizer["model"]["vocab"].as_object();
    let vocab = vocab.into_iter().flat_map(|vocab| vocab.values()).filter_map(Value::as_u64);
    added.chain(vocab).max().map_or(0, |largest| largest as usize + 1)
}

fn mean_row(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let num_rows = (rows.len() / width).max(1) as f64;
    sum.into_iter().map(|sum| (sum / num_rows) as f32).collect()
}
