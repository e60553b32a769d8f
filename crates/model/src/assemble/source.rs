//! Where parts come from: folders of one model, GGUF files, or assembled models.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gguf::Gguf;
use serde_json::{Value, json};

use crate::Error;
use crate::adapter;
use crate::config::gguf::from_gguf;
use crate::config::vision::VisionFamily;
use crate::config::vlm::read_json;
use crate::config::{LlmConfig, VisionConfig};
use crate::vision;
use crate::vlm::LLM_PREFIX;
use crate::weights::{Checkpoint, Stored};

/// An encoder to be built in.
pub(super) struct Encoder {
    pub(super) config: VisionConfig,
    /// Its `vision_config`.
    pub(super) json: Value,
    /// Its tensors alone, under [`vision::PREFIX`].
    pub(super) checkpoint: Checkpoint,
    /// Content for `preprocessor_config.json`.
    pub(super) preprocessor: Value,
}

/// A language model to be built in.
pub(super) struct LanguageModel {
    /// With the vocabulary size of its embedding table.
    pub(super) config: LlmConfig,
    /// Its `llm_config`.
    pub(super) json: Value,
    /// Its tensors alone, under [`LLM_PREFIX`].
    pub(super) checkpoint: Checkpoint,
}

/// An adapter to be transplanted.
pub(super) struct AdapterSource {
    path: PathBuf,
    checkpoint: Checkpoint,
}

impl Encoder {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let whole = read_json(&folder.join("config.json"))?;
        let mut checkpoint = Checkpoint::open(folder)?;
        let prefixed = checkpoint.has_prefix(vision::PREFIX);
        // Assembled models and two-tower SigLIP nest the encoder; SigLIP leaves out its kind.
        let mut json = whole.get("vision_config").unwrap_or(&whole).clone();
        if whole["model_type"] == "siglip" {
            json["model_type"] = json!(VisionFamily::Siglip.name());
        }
        for other in [adapter::PREFIX, LLM_PREFIX, "text_model.", "logit_"] {
            checkpoint.skip_prefix(other);
        }
        if !prefixed {
            checkpoint = checkpoint.under(vision::PREFIX);
        }
        let config = VisionConfig::from_json(&json)?;
        checkpoint.check(&vision::tensors(&config))?;
        let path = folder.join("preprocessor_config.json");
        let own = if path.is_file() { read_json(&path)? } else { Value::Null };
        let preprocessor = preprocessor(&own, config.family);
        Ok(Self { config, json, checkpoint, preprocessor })
    }

    /// The number format it is stored in.
    pub(super) fn stored(&self) -> Stored {
        stored(&self.checkpoint)
    }
}

impl LanguageModel {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut checkpoint = Checkpoint::open(path)?;
        let config_path = path.join("config.json");
        let whole = match checkpoint.gguf() {
            Some(file) => gguf_config(file)?,
            None => read_json(&config_path)?,
        };
        let json = whole.get("llm_config").unwrap_or(&whole).clone();
        if checkpoint.has_prefix(LLM_PREFIX) {
            checkpoint.skip_prefix(adapter::PREFIX);
            checkpoint.skip_prefix(vision::PREFIX);
        } else {
            checkpoint = checkpoint.under(LLM_PREFIX);
        }
        let mut config = LlmConfig::from_json(&json)?;
        if let [rows, _] = checkpoint.shape(&format!("{LLM_PREFIX}model.embed_tokens.weight"))?[..]
        {
            config.vocab_size = rows;
        }
        if config.tied_head {
            checkpoint.skip(&format!("{LLM_PREFIX}lm_head.weight"));
        }
        checkpoint.check(&config.tensors(LLM_PREFIX))?;
        Ok(Self { config, json, checkpoint })
    }

    /// The number format it is stored in; f32 if it is quantised.
    pub(super) fn stored(&self) -> Stored {
        stored(&self.checkpoint)
    }
}

impl AdapterSource {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut checkpoint = Checkpoint::open(path)?;
        checkpoint.skip_prefix(vision::PREFIX);
        checkpoint.skip_prefix(LLM_PREFIX);
        Ok(Self { path: path.to_owned(), checkpoint })
    }

    /// Its tensors, if it goes between features and embeddings of these widths.
    pub(super) fn read(mut self, widths: [usize; 2]) -> Result<HashMap<String, Vec<f32>>, Error> {
        let name = adapter::tensors(1, 1).swap_remove(2).0;
        let found = self.checkpoint.shape(&name)?;
        if found != [widths[1], widths[0]] {
            let reason = format!(
                "the adapter in {} turns features of {} values into embeddings of {}; these parts \
                 need one from {} to {}: choose parts or an unshuffle factor of the same widths, \
                 or leave the adapter out to have a new one drawn",
                self.path.display(),
                found.get(1).unwrap_or(&0),
                found.first().unwrap_or(&0),
                widths[0],
                widths[1]
            );
            return Err(Error::Assemble { reason });
        }
        let tensors = adapter::tensors(widths[0], widths[1]);
        self.checkpoint.check(&tensors)?;
        let mut take = |(name, shape): (String, Vec<usize>)| {
            let values = self.checkpoint.take(&name, &shape)?;
            Ok((name, values))
        };
        tensors.into_iter().map(&mut take).collect()
    }
}

fn gguf_config(file: &Gguf) -> Result<Value, Error> {
    Ok(from_gguf(file)?.to_json())
}

/// The format of most of a checkpoint's bytes.
fn stored(checkpoint: &Checkpoint) -> Stored {
    let mut bytes: HashMap<String, u64> = HashMap::new();
    for tensor in checkpoint.tensors() {
        *bytes.entry(tensor.dtype).or_default() += tensor.bytes;
    }
    let most = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    most.and_then(|(dtype, _)| Stored::from_name(&dtype)).unwrap_or(Stored::F32)
}

/// Mean and standard deviation of the pixels, the encoder's own where it says.
fn preprocessor(own: &Value, family: VisionFamily) -> Value {
    let (mean, std) = match family {
        VisionFamily::Siglip => ([0.5; 3], [0.5; 3]),
        VisionFamily::InternVit | VisionFamily::Dinov2 => {
            ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        }
    };
    let or = |key: &str, default: [f64; 3]| own.get(key).cloned().unwrap_or(json!(default));
    json!({
        "image_mean": or("image_mean", mean),
        "image_std": or("image_std", std),
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "resample": 3,
    })
}
