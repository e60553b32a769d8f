//! The text side of a model's folder: tokenizer, chat template, special and stop tokens, context length.

use std::path::{Path, PathBuf};

use gguf::Gguf;
use serde_json::{Value, json};

use crate::bpe::{tokenizer_json_from_gguf, tokenizer_json_from_vocab};
use crate::error::{Error, Result};
use crate::files::{read_json_if_present, read_text_if_present};
use crate::tokenizer::Tokenizer;

/// The tokens that `tokenizer_config.json` names and a template may print.
const NAMED: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];
/// Where a `config.json` keeps its language model's part, old and new spelling.
const LLM_CONFIGS: [&str; 2] = ["llm_config", "text_config"];

/// What a model's folder, or a GGUF file's metadata, says about text.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageFiles {
    /// Content of `tokenizer.json`.
    pub tokenizer: Value,
    /// Content of `tokenizer_config.json`, chat template taken out.
    pub tokenizer_config: Value,
    /// Content of `generation_config.json`.
    pub generation_config: Value,
    /// The Jinja source of the chat template.
    pub chat_template: Option<String>,
    /// The most tokens the language model was made for.
    pub context_length: Option<usize>,
}

impl LanguageFiles {
    /// Reads a folder in the Hugging Face layout, a GGUF file, or a folder with one GGUF file and no tokenizer.
    ///
    /// # Errors
    ///
    /// When there is no tokenizer, or a file does not hold what its name says.
    pub fn load(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Self::from_gguf(path);
        }
        let tokenizer_config =
            read_json_if_present(&path.join("tokenizer_config.json"))?.unwrap_or(json!({}));
        if let Some(tokenizer) = read_json_if_present(&path.join("tokenizer.json"))? {
            Self::from_folder(path, tokenizer, tokenizer_config)
        } else if path.join("vocab.json").is_file() {
            let tokenizer = tokenizer_json_from_vocab(path, &tokenizer_config)?;
            Self::from_folder(path, tokenizer, tokenizer_config)
        } else {
            Self::from_gguf(&only_gguf(path)?)
        }
    }

    fn from_folder(folder: &Path, tokenizer: Value, mut tokenizer_config: Value) -> Result<Self> {
        let config = read_json_if_present(&folder.join("config.json"))?.unwrap_or_default();
        let llm = LLM_CONFIGS.iter().find_map(|key| config.get(key)).unwrap_or(&config);
        let generation_config = read_json_if_present(&folder.join("generation_config.json"))?;
        let context_length = llm["max_position_embeddings"].as_u64().map(|n| n as usize);
        Ok(Self {
            tokenizer,
            chat_template: folder_template(folder, &mut tokenizer_config)?,
            tokenizer_config,
            generation_config: generation_config
                .unwrap_or_else(|| json!({"eos_token_id": llm["eos_token_id"]})),
            context_length,
        })
    }

    fn from_gguf(path: &Path) -> Result<Self> {
        let gguf = Gguf::open(path)?;
        let tables = gguf.tokenizer()?;
        let token = |id: u32| tables.tokens.get(id as usize).cloned();
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "bos_token": tables.bos_token_id.and_then(token),
            "eos_token": tables.eos_token_id.and_then(token),
            "pad_token": tables.padding_token_id.and_then(token),
        });
        let context_length = gguf.u32(&format!("{}.context_length", gguf.architecture()?)).ok();
        Ok(Self {
            tokenizer: tokenizer_json_from_gguf(&gguf)?,
            tokenizer_config: config,
            generation_config: json!({"eos_token_id": end_ids(&gguf, tables.eos_token_id)}),
            chat_template: tables.chat_template.map(str::to_owned),
            context_length: context_length.map(|n| n as usize),
        })
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and `chat_template.jinja`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| Error::Io { path, source })
        };
        write("tokenizer.json", format!("{:#}\n", self.tokenizer))?;
        write("tokenizer_config.json", format!("{:#}\n", self.tokenizer_config))?;
        write("generation_config.json", format!("{:#}\n", self.generation_config))?;
        self.chat_template.iter().try_for_each(|text| write("chat_template.jinja", text.clone()))
    }

    /// Names and strings of the special tokens, as template variables.
    pub fn special_tokens(&self) -> Vec<(String, String)> {
        let named = NAMED.iter().filter_map(|&name| {
            let token = &self.tokenizer_config[name];
            let text = token.as_str().or_else(|| token["content"].as_str())?;
            Some((name.to_owned(), text.to_owned()))
        });
        named.collect()
    }

    /// Ids that end an answer, in ascending order: those of the generation config, the tokenizer's end token, and
    /// `<|im_end|>` where the vocabulary has it.
    pub fn stop_ids(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let eos = &self.generation_config["eos_token_id"];
        let listed = eos.as_array().map_or(std::slice::from_ref(eos), Vec::as_slice);
        let mut ids: Vec<u32> =
            listed.iter().filter_map(|id| id.as_u64().and_then(|id| id.try_into().ok())).collect();
        let special = self.special_tokens();
        let end = special.iter().find(|(name, _)| name == "eos_token");
        ids.extend(end.and_then(|(_, token)| tokenizer.id(token)));
        ids.extend(tokenizer.id("<|im_end|>"));
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// The template of a folder: its own file, else the one in `tokenizer_config` (which loses it: in a folder that
/// `save` writes, the file alone speaks). Of a list of named templates, the one called `default`.
fn folder_template(folder: &Path, tokenizer_config: &mut Value) -> Result<Option<String>> {
    let inner = tokenizer_config.as_object_mut().and_then(|config| config.remove("chat_template"));
    if let Some(text) = read_text_if_present(&folder.join("chat_template.jinja"))? {
        return Ok(Some(text));
    }
    let beside = read_json_if_present(&folder.join("chat_template.json"))?;
    let beside = beside.and_then(|mut json| json.get_mut("chat_template").map(Value::take));
    match beside.or(inner) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(named)) => {
            let default = named.iter().find(|template| template["name"] == "default");
            Ok(default.and_then(|template| template["template"].as_str()).map(str::to_owned))
        }
        Some(other) => {
            let reason = format!("chat_template must be text or a list, it is {other}");
            Err(Error::Config { path: folder.join("tokenizer_config.json"), reason })
        }
    }
}

fn only_gguf(folder: &Path) -> Result<PathBuf> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(io)?;
    let paths = entries.map(|entry| Ok(entry.map_err(io)?.path())).collect::<Result<Vec<_>>>()?;
    let is_gguf = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let found: Vec<_> = paths.iter().filter(is_gguf).collect();
    match found[..] {
        [path] => Ok(path.clone()),
        [] => Err(Error::Missing { path: folder.to_owned(), what: "tokenizer.json".to_owned() }),
        _ => {
            let reason =
                format!("no tokenizer.json, and {} GGUF files to choose from", found.len());
            Err(Error::Config { path: folder.to_owned(), reason })
        }
    }
}

/// Ends of text, of a turn and of a message, as far as the metadata names them.
fn end_ids(gguf: &Gguf, eos: Option<u32>) -> Vec<u32> {
    let named = |key: &str| gguf.metadata(key).and_then(gguf::Value::as_u32);
    let others = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
    let mut ids: Vec<u32> =
        eos.into_iter().chain(others.iter().filter_map(|key| named(key))).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
