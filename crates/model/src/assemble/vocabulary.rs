//! Rows of embedding and head for the image tokens.
//!
//! As InternVL's trainer does it, both tables are cut or grown to the tokenizer's size (padding
//! rows go) and the head's new rows are the mean of the old ones, so that no image token is likelier
//! than another token. The embedding's new rows depart from it (there they are drawn, and then
//! train): each is the mean of the tokens that its text was cut into before, which a frozen language model
//! reads over as it does over the words; a drawn row, or the mean of the table, disturbs it. Tables
//! that are one and the same get these rows too.

use serde_json::Value;

use super::source::LanguageModel;
use super::{IMAGE_TOKENS, Language, image_token_id};
use crate::Error;
use crate::vlm::LLM_PREFIX;
use crate::vlm::files::token_id;

/// The image tokens and the size of the tables that hold them.
pub(super) struct Vocabulary {
    /// Rows of the new tables.
    pub(super) size: usize,
    /// Rows of the old tables that tokens had.
    old_size: usize,
    /// Token, id, and whether its row is new.
    tokens: Vec<(&'static str, u32, bool)>,
    /// What each token's text was cut into.
    pieces: [Vec<u32>; 3],
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
        let is_old = |&id: &u32| (id as usize) < old_size;
        let pieces = language.pieces.clone().map(|ids| ids.into_iter().filter(is_old).collect());
        Ok(Self { size, old_size, tokens, pieces })
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
    ) -> Result<Vec<f32>, Error> {
        let is_embedding = name == format!("{LLM_PREFIX}model.embed_tokens.weight");
        if !is_embedding && name != format!("{LLM_PREFIX}lm_head.weight") {
            return llm.checkpoint.take(name, shape);
        }
        let width = shape[1];
        let mut rows = llm.checkpoint.take(name, &[llm.config.vocab_size, width])?;
        let old = &rows[..self.old_size * width];
        let mean = mean_row(old.chunks_exact(width), width);
        let new: Vec<Vec<f32>> = self
            .pieces
            .iter()
            .map(|pieces| match is_embedding && !pieces.is_empty() {
                true => {
                    mean_row(pieces.iter().map(|&id| &old[id as usize * width..][..width]), width)
                }
                false => mean.clone(),
            })
            .collect();
        // Cut or grown, then the rows of the new tokens.
        rows.resize(self.size * width, 0.0);
        for (&(_, id, _), row) in self.tokens.iter().zip(&new).filter(|((_, _, new), _)| *new) {
            rows[id as usize * width..][..width].copy_from_slice(row);
        }
        Ok(rows)
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

fn mean_row<'r>(rows: impl Iterator<Item = &'r [f32]>, width: usize) -> Vec<f32> {
    let (mut sum, mut num_rows) = (vec![0.0; width], 0_usize);
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        num_rows += 1;
    }
    sum.into_iter().map(|sum| (sum / num_rows.max(1) as f64) as f32).collect()
}
