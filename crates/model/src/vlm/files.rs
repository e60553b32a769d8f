//! Model folders and adapter files, written so that a failure leaves the earlier ones whole.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tensor::DType;

use super::{LmHead, Vlm};
use crate::Error;
use crate::adapter::Adapter;
use crate::config::gguf::from_gguf;
use crate::config::vlm::read_json;
use crate::llm::LlmTraining;
use crate::parameter::{Parameter, Part};
use crate::weights::{Checkpoint, Staging, Stored, TensorSpec, save, save_file};

/// Files beside the weights that travel with a model: what the tokenizer, the chat template and
/// the image processor need, under all names in use.
pub(crate) const COMPANIONS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
];

/// The token whose rows image features overwrite.
pub(crate) const IMAGE_TOKEN: &str = "<IMG_CONTEXT>";

/// The same in Qwen2.5-VL.
const QWEN_IMAGE_TOKEN: &str = "<|image_pad|>";

/// Weights above this many bytes go into several files, as transformers does it.
pub(crate) const MAX_SHARD_BYTES: u64 = 5_000_000_000;

impl Vlm {
    /// Reads a language model alone: a folder as Hugging Face lays it out, or a GGUF file.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_language_model(path: &Path, dtype: DType) -> Result<Self, Error> {
        let mut checkpoint = Checkpoint::open(path)?;
        let json = match checkpoint.gguf() {
            Some(file) => from_gguf(file)?.to_json(),
            None => read_json(&path.join("config.json"))?,
        };
        let vlm = Self::take(path, (json, LmHead::Required), dtype, &mut checkpoint)?;
        checkpoint.finish()?;
        Ok(vlm)
    }

    /// Writes a full model folder: configuration, weights, and the companions of the folder this
    /// model was read from. `stored` is the format of encoder and language model; the adapter is
    /// written in f32. An earlier model in `folder` stays whole until the new one is.
    ///
    /// # Errors
    /// When low-rank terms have not been merged, or the folder cannot be written.
    pub fn save(&self, folder: &Path, stored: Stored) -> Result<(), Error> {
        self.save_with(folder, stored, &[], |_| Ok(()))
    }

    /// As [`save`](Self::save), with further tensors among the weights, in f32, and whatever
    /// `beside` writes into the folder it is given.
    ///
    /// # Errors
    /// As [`save`](Self::save), and those of `beside`.
    pub(crate) fn save_with(
        &self,
        folder: &Path,
        stored: Stored,
        among: &[Parameter],
        beside: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.llm.parameters(LlmTraining::Lora).is_empty() {
            let reason = "low-rank terms must be merged, or saved as an adapter of their own";
            return Err(Error::input("model to save", reason));
        }
        let staging = Staging::new(folder)?;
        copy_companions(&self.folder, staging.path())?;
        let mut config = self.json.clone();
        let key = if config.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
        config[key] = stored.torch_name().into();
        write_json(&staging.path().join("config.json"), &config)?;
        let parts: HashMap<String, Part<'_>> = self.all_parts().into_iter().collect();
        let mut specs = self.tensor_specs(stored);
        specs.extend(among.iter().map(|p| TensorSpec::new(&p.name, &p.shape, Stored::F32)));
        save(staging.path(), &specs, MAX_SHARD_BYTES, |name| match parts.get(name) {
            Some(part) => Ok(part.values()),
            None => {
                let further = among.iter().find(|parameter| parameter.name == name);
                Ok(further.map(|parameter| parameter.values.clone()).unwrap_or_default())
            }
        })?;
        beside(staging.path())?;
        staging.commit()
    }

    /// Writes the adapter alone: one safetensors file with its tensors (`mlp1.*`) in f32.
    ///
    /// # Errors
    /// When the file cannot be written; an earlier one is then still there.
    pub fn save_adapter(&self, file: &Path) -> Result<(), Error> {
        let adapter = &self.image_side()?.adapter;
        let parts: HashMap<String, Part<'_>> = adapter.parts().into_iter().collect();
        let spec = |(name, shape): &(String, Vec<usize>)| TensorSpec::new(name, shape, Stored::F32);
        let specs: Vec<TensorSpec> = adapter.config().tensors().iter().map(spec).collect();
        save_file(file, &specs, |name| Ok(parts[name].values()))
    }

    /// Replaces the adapter by that of a file, or of a folder, of its tensors alone.
    ///
    /// # Errors
    /// When it cannot be read or does not fit the model; the model is then unchanged.
    pub fn load_adapter(&mut self, file: &Path) -> Result<(), Error> {
        let mut checkpoint = Checkpoint::open(file)?;
        let config = self.image_side()?.adapter.config().clone();
        let adapter = Adapter::take(&mut checkpoint, config)?;
        checkpoint.finish()?;
        if let Some(side) = &mut self.images {
            side.adapter = adapter;
        }
        Ok(())
    }

    /// The folder the model was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that a checkpoint of this model holds, by name.
    pub(crate) fn all_parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = Vec::new();
        if let Some(side) = &self.images {
            parts.extend(side.encoder.parts());
            parts.extend(side.adapter.parts());
        }
        parts.extend(self.llm.parts());
        parts
    }

    /// The tensors of a checkpoint of this model, in its order.
    pub(crate) fn tensor_specs(&self, stored: Stored) -> Vec<TensorSpec> {
        let of = |tensors: Vec<(String, Vec<usize>)>, stored| {
            tensors.into_iter().map(move |(name, shape)| TensorSpec { name, shape, stored })
        };
        let mut specs = Vec::new();
        if let Some(side) = &self.images {
            specs.extend(of(side.encoder.tensors(), stored));
            specs.extend(of(side.adapter.config().tensors(), Stored::F32));
        }
        specs.extend(of(self.llm.config().tensors(self.llm.prefix()), stored));
        specs
    }
}

/// The id of the token whose rows image features overwrite, by a folder's `tokenizer.json`, or `None`
/// if it has neither InternVL's (`<IMG_CONTEXT>`) nor Qwen's (`<|image_pad|>`).
///
/// # Errors
/// When `tokenizer.json` cannot be parsed.
pub fn image_token(folder: &Path) -> Result<Option<u32>, Error> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Ok(None);
    }
    let tokenizer = read_json(&path)?;
    Ok([IMAGE_TOKEN, QWEN_IMAGE_TOKEN].iter().find_map(|token| token_id(&tokenizer, token)))
}

/// The id of a token in the content of a `tokenizer.json`: an added token or a vocabulary entry.
pub(crate) fn token_id(tokenizer: &Value, token: &str) -> Option<u32> {
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let mut added = added.filter(|entry| entry["content"] == token);
    let id = match added.next() {
        Some(entry) => entry["id"].as_u64(),
        None => tokenizer["model"]["vocab"][token].as_u64(),
    };
    id.and_then(|id| u32::try_from(id).ok())
}

/// Copies the companions that `from` has.
pub(crate) fn copy_companions(from: &Path, to: &Path) -> Result<(), Error> {
    for name in COMPANIONS {
        let source = from.join(name);
        if source.is_file() {
            fs::copy(&source, to.join(name)).map_err(Error::io(&source))?;
        }
    }
    Ok(())
}

/// Writes a JSON file for people to read.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), Error> {
    fs::write(path, format!("{value:#}\n")).map_err(Error::io(path))
}
