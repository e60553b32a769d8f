//! Text to token ids and back.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::DecoderWrapper;

use crate::error::{Error, Result};

/// The marks of a thought: part of what a model says, even in tokenizers that list them among the special tokens,
/// because rewards look for them.
pub const THOUGHT_MARKS: [&str; 2] = ["<think>", "</think>"];

/// A byte-level BPE or other tokenizer, as `tokenizer.json` describes it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Special tokens, which leave no text.
    special: HashSet<u32>,
    /// Bytes of the longest token.
    longest: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or does not describe a tokenizer.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
            .map_err(|e| Error::Config { path: path.to_owned(), reason: e.to_string() })
    }

    /// Builds a tokenizer from the content of a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When it does not describe a tokenizer.
    pub fn from_json(json: &Value) -> Result<Self> {
        Self::from_bytes(json.to_string().as_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(reason)?;
        // A file may carry the settings of the run that saved it; they must not cut or fill our texts.
        inner.with_truncation(None).map_err(reason)?;
        inner.with_padding(None);
        let added = inner.get_added_tokens_decoder().into_iter();
        let special =
            added.filter(|(_, t)| t.special && !THOUGHT_MARKS.contains(&t.content.as_str()));
        let special = special.map(|(id, _)| id).collect();
        Ok(Self { special, longest: longest(&inner), inner })
    }

    /// Ids of `text`. Special tokens spelled in it are recognised; none is added.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text (an unknown piece without an unknown token).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(reason)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`; special tokens are left out, but for the marks of a thought (`<think>`, `</think>`). Ids outside
    /// the vocabulary give no text; bytes that are not UTF-8 give the replacement character.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let said: Vec<u32> = ids.iter().copied().filter(|&id| !self.is_special(id)).collect();
        self.inner.decode(&said, false).map_err(reason)
    }

    /// As [`Self::decode`], special tokens spelled out.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails.
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, false).map_err(reason)
    }

    /// The id of a token by its exact string.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The string of a token.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// As [`Self::id`]; `purpose` completes "the tokenizer has no token X, which …".
    ///
    /// # Errors
    ///
    /// When the vocabulary lacks the token.
    pub fn require(&self, token: &str, purpose: &str) -> Result<u32> {
        self.id(token).ok_or_else(|| Error::MissingToken {
            token: token.to_owned(),
            purpose: purpose.to_owned(),
        })
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The least tokens that a text of so many bytes has.
    pub fn least_tokens(&self, num_bytes: usize) -> usize {
        num_bytes.div_ceil(self.longest)
    }

    /// Whether `id` is an added token that stands outside the text, like `<|im_end|>`.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Every added token with its id, in the order of ids.
    pub fn added_tokens(&self) -> Vec<(u32, String)> {
        let decoder = self.inner.get_added_tokens_decoder();
        let mut tokens: Vec<_> = decoder.iter().map(|(&id, t)| (id, t.content.clone())).collect();
        tokens.sort_unstable();
        tokens
    }

    /// Starts decoding a completion token by token.
    pub fn stream(&self) -> TextStream<'_> {
        let (ids, held) = (Vec::new(), String::new());
        TextStream { tokenizer: self, ids, num_settled: 0, num_written: 0, held }
    }
}

/// Bytes of the longest token: none stands for more of a text. Tokens of bytes are spelled with a letter for each.
fn longest(inner: &tokenizers::Tokenizer) -> usize {
    let has_letters = matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
    let length = |token: &String| if has_letters { token.chars().count() } else { token.len() };
    let vocab = inner.get_vocab(false);
    let added = inner.get_added_tokens_decoder();
    let added = added.values().map(|token| token.content.len());
    vocab.keys().map(length).chain(added).max().unwrap_or(0).max(1)
}

/// Decodes one token at a time. Text is held back while its last character is incomplete, or while tokens for single
/// bytes may yet make it another one; the pieces together equal the text of all ids at once.
#[derive(Clone, Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Ids whose text was written before the last piece: context that only fixes how the next ones are spelled.
    num_settled: usize,
    /// Ids whose text was written.
    num_written: usize,
    /// Text of the ids after those.
    held: String,
}

impl TextStream<'_> {
    /// Takes the next id; the text that is now certain.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        // What leaves no text does not come between bytes either.
        let token = self.tokenizer.token(id).filter(|_| !self.tokenizer.is_special(id));
        let Some(token) = token else { return Ok(String::new()) };
        self.ids.push(id);
        let written = self.tokenizer.decode(&self.ids[self.num_settled..self.num_written])?;
        let all = self.tokenizer.decode(&self.ids[self.num_settled..])?;
        self.held = all.get(written.len()..).unwrap_or_default().to_owned();
        let is_certain = all.starts_with(&written) && !is_byte(&token);
        if self.held.is_empty() || self.held.ends_with('\u{fffd}') || !is_certain {
            return Ok(String::new());
        }
        self.num_settled = self.num_written;
        self.num_written = self.ids.len();
        Ok(std::mem::take(&mut self.held))
    }

    /// The text that is held back, without an incomplete character at its end: what the last ids say if no more follow.
    pub fn held(&self) -> &str {
        self.held.trim_end_matches('\u{fffd}')
    }

    /// The text still held back, its incomplete character replaced.
    ///
    /// # Errors
    ///
    /// None so far: decoders that must see the end may fail here.
    pub fn finish(self) -> Result<String> {
        Ok(self.held)
    }
}

/// Whether a token stands for a single byte, as in `<0x0A>`. Decoders spell neighbouring ones together: a byte that
/// does not go with the others takes their characters back.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}

/// Appends special tokens to the content of a `tokenizer.json`, leaving those it has; the id of each in order.
///
/// # Errors
///
/// When the JSON does not describe a tokenizer.
pub fn add_special_tokens(json: &mut Value, tokens: &[&str]) -> Result<Vec<u32>> {
    let tokenizer = Tokenizer::from_json(json)?;
    let mut next = next_id(json);
    let added = json["added_tokens"].as_array_mut();
    let added = added.ok_or_else(|| reason("no list `added_tokens`"))?;
    let mut ids = Vec::with_capacity(tokens.len());
    for &token in tokens {
        let id = tokenizer.id(token).unwrap_or(next);
        if id == next {
            added.push(added_token(id, token, true));
            next += 1;
        }
        ids.push(id);
    }
    Ok(ids)
}

/// One entry of `added_tokens`.
pub(crate) fn added_token(id: u32, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": special,
    })
}

/// One more than the largest id in use.
fn next_id(json: &Value) -> u32 {
    let added = json["added_tokens"].as_array().into_iter().flatten().map(|token| &token["id"]);
    let vocab = json["model"]["vocab"].as_object().into_iter().flat_map(|vocab| vocab.values());
    let largest = added.chain(vocab).filter_map(Value::as_u64).max();
    largest.map_or(0, |id| u32::try_from(id + 1).unwrap_or(u32::MAX))
}

fn reason(error: impl Into<tokenizers::Error>) -> Error {
    Error::Tokenizer { reason: error.into().to_string() }
}
