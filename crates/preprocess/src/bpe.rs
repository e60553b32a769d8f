//! Byte-level BPE tokenizers that are stored otherwise, written as the `tokenizer.json` they were made from.

use std::path::Path;

use gguf::{Gguf, TokenType};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files::{read_json_if_present, read_text_if_present};
use crate::tokenizer::added_token;

/// GPT-2's split, without the contractions' case folding of its successors.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What GGUF means by `default`: punctuation alone, then GPT-2's split, then digits by threes.
const DEFAULT: [&str; 4] = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"];

/// The `tokenizer.json` for the tokenizer in `gguf`'s metadata.
///
/// # Errors
///
/// When the file has no tokenizer, or one other than byte-level BPE with a known split rule.
pub fn tokenizer_json_from_gguf(gguf: &Gguf) -> Result<Value> {
    let tables = gguf.tokenizer()?;
    if tables.model != "gpt2" {
        return Err(unsupported("tokenizer.ggml.model", tables.model, "gpt2 (byte-level BPE)"));
    }
    let types = tables.token_types.unwrap_or_default();
    let added = tables.tokens.iter().zip(&types).enumerate().filter_map(|(id, (token, kind))| {
        let special = *kind == TokenType::Control;
        let is_added = special || *kind == TokenType::UserDefined;
        is_added.then(|| added_token(id as u32, token, special))
    });
    let vocab = tables.tokens.iter().enumerate();
    let parts = Parts {
        split: Split::of_gguf(tables.pre.unwrap_or("default"))?,
        vocab: vocab.map(|(id, token)| (token.clone(), id.into())).collect(),
        merges: tables.merges.iter().map(|merge| pair(merge)).collect::<Result<_>>()?,
        added: added.collect(),
    };
    Ok(parts.into_json())
}

/// The `tokenizer.json` for a folder that has `vocab.json` and `merges.txt` instead, as InternVL's older releases do.
/// Added tokens stand in `tokenizer_config` or in `added_tokens.json`.
///
/// # Errors
///
/// When a file cannot be read or the tokenizer's class has no known split rule.
pub(crate) fn tokenizer_json_from_vocab(folder: &Path, tokenizer_config: &Value) -> Result<Value> {
    let path = folder.join("vocab.json");
    let vocab = read_json_if_present(&path)?;
    let Some(Value::Object(vocab)) = vocab else {
        return Err(Error::Config { path, reason: "not an object of tokens".to_owned() });
    };
    let path = folder.join("merges.txt");
    let missing = || Error::Missing { path: folder.to_owned(), what: "merges.txt".to_owned() };
    let merges = read_text_if_present(&path)?.ok_or_else(missing)?;
    let merges = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let extra = read_json_if_present(&folder.join("added_tokens.json"))?.unwrap_or_default();
    let parts = Parts {
        split: Split::of_class(tokenizer_config["tokenizer_class"].as_str().unwrap_or("none"))?,
        vocab,
        merges: merges.map(pair).collect::<Result<_>>()?,
        added: added_tokens(tokenizer_config, &extra),
    };
    Ok(parts.into_json())
}

/// The entries of `added_tokens_decoder` (`{"151643": {"content": …}}`), else of `added_tokens.json`
/// (`{"<img>": 151665}`), in the order of ids.
fn added_tokens(tokenizer_config: &Value, extra: &Value) -> Vec<Value> {
    let decoder = tokenizer_config["added_tokens_decoder"].as_object();
    let listed = decoder.into_iter().flatten().filter_map(|(id, token)| {
        let special = token["special"].as_bool().unwrap_or(true);
        Some((id.parse().ok()?, token["content"].as_str()?, special))
    });
    let mut tokens: Vec<(u32, &str, bool)> = listed.collect();
    for (token, id) in extra.as_object().into_iter().flatten() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let is_new = |id| tokens.iter().all(|&(known, ..)| known != id);
        if let Some(id) = id.filter(|&id| is_new(id)) {
            tokens.push((id, token, true));
        }
    }
    tokens.sort_unstable();
    tokens.into_iter().map(|(id, token, special)| added_token(id, token, special)).collect()
}

/// What one byte-level BPE tokenizer differs in from another.
struct Parts {
    split: Split,
    vocab: Map<String, Value>,
    merges: Vec<Value>,
    added: Vec<Value>,
}

impl Parts {
    fn into_json(self) -> Value {
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added,
            "normalizer": self.split.normalizer(),
            "pre_tokenizer": self.split.pre_tokenizer(),
            "post_processor": null,
            "decoder": byte_level(true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": self.split == Split::Llama3,
                "vocab": self.vocab, "merges": self.merges,
            },
        })
    }
}

/// How text is split before merging.
#[derive(Clone, Copy, PartialEq)]
enum Split {
    Gpt2,
    SmolLm,
    Qwen2,
    Llama3,
    Default,
}

impl Split {
    fn of_gguf(pre: &str) -> Result<Self> {
        Ok(match pre {
            "gpt-2" => Self::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" => Self::SmolLm,
            "qwen2" | "deepseek-r1-qwen" => Self::Qwen2,
            "llama-bpe" | "llama3" | "llama-v3" => Self::Llama3,
            "default" => Self::Default,
            _ => {
                let known = "gpt-2, smollm, qwen2, deepseek-r1-qwen, llama-bpe, default";
                return Err(unsupported("tokenizer.ggml.pre", pre, known));
            }
        })
    }

    fn of_class(class: &str) -> Result<Self> {
        match class.strip_suffix("Fast").unwrap_or(class) {
            "GPT2Tokenizer" => Ok(Self::Gpt2),
            "Qwen2Tokenizer" => Ok(Self::Qwen2),
            _ => Err(unsupported("tokenizer_class", class, "GPT2Tokenizer, Qwen2Tokenizer")),
        }
    }

    fn normalizer(self) -> Value {
        if self == Self::Qwen2 { json!({"type": "NFC"}) } else { Value::Null }
    }

    fn pre_tokenizer(self) -> Value {
        let digits = json!({"type": "Digits", "individual_digits": true});
        match self {
            Self::Gpt2 => byte_level(true),
            Self::SmolLm => sequence(&[digits, byte_level(true)]),
            Self::Qwen2 => sequence(&[split(QWEN2), byte_level(false)]),
            Self::Llama3 => sequence(&[split(LLAMA3), byte_level(false)]),
            Self::Default => {
                let mut parts: Vec<_> = DEFAULT.iter().map(|regex| split(regex)).collect();
                parts.push(byte_level(false));
                sequence(&parts)
            }
        }
    }
}

fn sequence(pretokenizers: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": pretokenizers})
}

fn split(regex: &str) -> Value {
    json!({
        "type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false,
    })
}

/// Maps bytes to printable characters; with `use_regex`, splits by GPT-2's rule first.
fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex,
    })
}

fn pair(merge: &str) -> Result<Value> {
    let (left, right) = merge.split_once(' ').ok_or_else(|| Error::Tokenizer {
        reason: format!("merge {merge:?} is not two pieces with a space between"),
    })?;
    Ok(json!([left, right]))
}

fn unsupported(key: &str, value: &str, known: &str) -> Error {
    let reason = format!("{key} is {value:?}; supported: {known}");
    Error::Tokenizer { reason }
}
