//! The tokenizer inside the metadata, as tables; building a tokenizer from them is the caller's business.

use crate::value::Value;
use crate::{Error, Gguf, Result};

/// What a vocabulary entry is, by GGUF's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// An ordinary piece of text.
    Normal,
    /// The unknown token.
    Unknown,
    /// A special token that is not part of the text.
    Control,
    /// A whole string added to the vocabulary, part of the text.
    UserDefined,
    /// An entry that is never used.
    Unused,
    /// A single byte.
    Byte,
}

/// Borrowed tables of the tokenizer in a GGUF file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerTables<'a> {
    /// The algorithm: `gpt2` is byte-level BPE.
    pub model: &'a str,
    /// The rule that splits text before merging, such as `smollm`, `qwen2`, `llama-bpe`.
    pub pre: Option<&'a str>,
    /// The vocabulary; a token's index is its id.
    pub tokens: &'a [String],
    /// One type for each token, or none at all.
    pub token_types: Option<Vec<TokenType>>,
    /// BPE merges, best first, each two pieces with a space between.
    pub merges: &'a [String],
    /// The id that starts a text.
    pub bos_token_id: Option<u32>,
    /// The id that ends a text or a turn.
    pub eos_token_id: Option<u32>,
    /// The id that fills a batch.
    pub padding_token_id: Option<u32>,
    /// Whether every text starts with the BOS token.
    pub add_bos_token: Option<bool>,
    /// The Jinja template of a conversation.
    pub chat_template: Option<&'a str>,
}

impl Gguf {
    /// The tokenizer's tables.
    ///
    /// # Errors
    ///
    /// When the file has no tokenizer, a value has the wrong type, or there are not as many types as tokens.
    pub fn tokenizer(&self) -> Result<TokenizerTables<'_>> {
        let key = "tokenizer.ggml.tokens";
        let strings = |key| self.optional(key, "an array of strings", Value::as_strings);
        let id = |key| self.optional(key, "a token id", Value::as_u32);
        let tokens = strings(key)?
            .ok_or_else(|| Error::MissingKey { path: self.path().into(), key: key.into() })?;
        Ok(TokenizerTables {
            model: self.str("tokenizer.ggml.model")?,
            pre: self.optional("tokenizer.ggml.pre", "a string", Value::as_str)?,
            tokens,
            token_types: self.token_types(tokens.len())?,
            merges: strings("tokenizer.ggml.merges")?.unwrap_or_default(),
            bos_token_id: id("tokenizer.ggml.bos_token_id")?,
            eos_token_id: id("tokenizer.ggml.eos_token_id")?,
            padding_token_id: id("tokenizer.ggml.padding_token_id")?,
            add_bos_token: self.optional(
                "tokenizer.ggml.add_bos_token",
                "a boolean",
                Value::as_bool,
            )?,
            chat_template: self.optional("tokenizer.chat_template", "a string", Value::as_str)?,
        })
    }

    fn token_types(&self, num_tokens: usize) -> Result<Option<Vec<TokenType>>> {
        let key = "tokenizer.ggml.token_type";
        let Some(ids) = self.optional(key, "an array of integers", Value::as_ints)? else {
            return Ok(None);
        };
        let format = |reason| Error::Format { path: self.path().to_owned(), reason };
        if ids.len() != num_tokens {
            return Err(format(format!("{} token types for {num_tokens} tokens", ids.len())));
        }
        let types = ids
            .iter()
            .map(|&id| token_type(id).ok_or_else(|| format(format!("token type {id} is unknown"))));
        types.collect::<Result<_>>().map(Some)
    }

    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        get: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.metadata(key) else { return Ok(None) };
        get(value).map(Some).ok_or_else(|| self.wrong_type(key, value, expected))
    }
}

fn token_type(id: i64) -> Option<TokenType> {
    Some(match id {
        1 => TokenType::Normal,
        2 => TokenType::Unknown,
        3 => TokenType::Control,
        4 => TokenType::UserDefined,
        5 => TokenType::Unused,
        6 => TokenType::Byte,
        _ => return None,
    })
}
