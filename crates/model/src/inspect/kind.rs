//! What a folder holds: a whole model of either layout, an encoder or a language model alone, and a value head on it.

use std::path::Path;

use serde_json::Value;

use super::Shapes;
use crate::Error;
use crate::config::qwen_vl::RELEASES;
use crate::config::{LlmConfig, QwenVlConfig, VisionConfig, VlmConfig};
use crate::value_head::{HeadLayout, VALUE_HEAD_FILE};
use crate::vision;
use crate::vlm::LLM_PREFIX;
use crate::weights::{Checkpoint, StoredTensor};

/// The configurations of what a folder holds.
pub(super) enum Kind {
    /// A model that cuts images into tiles: InternVL's layout.
    Tiles(Box<VlmConfig>),
    /// A model that takes images as patches: Qwen2.5-VL.
    Patches(Box<QwenVlConfig>),
    /// An encoder alone.
    Encoder(VisionConfig),
    /// A language model alone.
    Language(LlmConfig),
}

/// A value head on a model.
pub(super) struct Head {
    pub(super) layout: HeadLayout,
    /// What its tensors' names begin with, as in an assembled model.
    pub(super) prefix: String,
    /// Its own file; `None` where it lies among the weights.
    file: Option<Checkpoint>,
}

/// What a folder holds.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) head: Option<Head>,
    checkpoint: Checkpoint,
}

impl Kind {
    pub(super) fn llm(&self) -> Option<&LlmConfig> {
        match self {
            Self::Tiles(config) => Some(&config.llm),
            Self::Patches(config) => Some(&config.llm),
            Self::Language(config) => Some(config),
            Self::Encoder(_) => None,
        }
    }

    fn llm_mut(&mut self) -> Option<&mut LlmConfig> {
        match self {
            Self::Tiles(config) => Some(&mut config.llm),
            Self::Patches(config) => Some(&mut config.llm),
            Self::Language(config) => Some(config),
            Self::Encoder(_) => None,
        }
    }

    /// What precedes the language model's tensor names, as its parts are named here.
    pub(super) fn llm_prefix(&self) -> &'static str {
        match self {
            Self::Patches(_) => "",
            Self::Tiles(_) | Self::Language(_) | Self::Encoder(_) => LLM_PREFIX,
        }
    }

    /// The shapes that memory depends on; `None` for an encoder alone.
    pub(super) fn shapes(&self) -> Option<Shapes<'_>> {
        match self {
            Self::Tiles(config) => Some(config.as_ref().into()),
            Self::Patches(config) => Some(config.as_ref().into()),
            Self::Language(config) => Some(config.into()),
            Self::Encoder(_) => None,
        }
    }

    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        match (self, self.shapes()) {
            (Self::Encoder(config), _) => vision::tensors(config),
            (_, shapes) => shapes.map(|shapes| shapes.tensors()).unwrap_or_default(),
        }
    }
}

impl Found {
    /// Tells what a folder holds, and names its tensors as in an assembled model.
    pub(super) fn sort(
        folder: &Path,
        config: &Value,
        checkpoint: Checkpoint,
    ) -> Result<Self, Error> {
        let (mut kind, mut checkpoint) = sort(config, checkpoint)?;
        let head = Head::find(folder, &kind, &checkpoint)?;
        let prefix = kind.llm_prefix();
        if let Some(llm) = kind.llm_mut() {
            settle(llm, (prefix, head.is_some()), &mut checkpoint)?;
        }
        let found = Self { kind, head, checkpoint };
        found.check()?;
        Ok(found)
    }

    /// Every tensor, the value head's last.
    pub(super) fn tensors(&self) -> Vec<StoredTensor> {
        let own = self.head.iter().filter_map(|head| head.file.as_ref());
        self.checkpoint.tensors().into_iter().chain(own.flat_map(Checkpoint::tensors)).collect()
    }

    /// The tensors must be exactly those that the configuration implies.
    fn check(&self) -> Result<(), Error> {
        let mut tensors = self.kind.tensors();
        if let (Some(head), Some(llm)) = (&self.head, self.kind.llm()) {
            let own = head.tensors(llm.hidden_size);
            match &head.file {
                Some(file) => file.check(&own)?,
                None => tensors.extend(own),
            }
        }
        self.checkpoint.check(&tensors)
    }
}

impl Head {
    fn find(folder: &Path, kind: &Kind, checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let file = folder.join(VALUE_HEAD_FILE);
        if file.is_file() {
            let layout = HeadLayout::ValueHead;
            let (prefix, file) = (format!("{}.", layout.name()), Some(Checkpoint::open(&file)?));
            return Ok(Some(Self { layout, prefix, file }));
        }
        // A language model alone is named as in an assembled model, and its head with it.
        let before = if matches!(kind, Kind::Language(_)) { LLM_PREFIX } else { "" };
        let place = |layout: HeadLayout| Self {
            layout,
            prefix: format!("{before}{}.", layout.name()),
            file: None,
        };
        let heads = [HeadLayout::ValueHead, HeadLayout::Score].map(place);
        Ok(heads.into_iter().find(|head| checkpoint.has_prefix(&head.prefix)))
    }

    fn tensors(&self, hidden_size: usize) -> Vec<(String, Vec<usize>)> {
        let mut tensors = vec![(format!("{}weight", self.prefix), vec![1, hidden_size])];
        if self.layout == HeadLayout::ValueHead {
            tensors.push((format!("{}bias", self.prefix), vec![1]));
        }
        tensors
    }
}

fn sort(config: &Value, mut checkpoint: Checkpoint) -> Result<(Kind, Checkpoint), Error> {
    if config.get("llm_config").is_some() {
        return Ok((Kind::Tiles(Box::new(VlmConfig::from_json(config.clone())?)), checkpoint));
    }
    if QwenVlConfig::is_in(config) {
        checkpoint.rename(&RELEASES);
        return Ok((Kind::Patches(Box::new(QwenVlConfig::from_json(config)?)), checkpoint));
    }
    if let Ok(config) = VisionConfig::from_json(config) {
        for other in ["text_model.", "logit_"] {
            checkpoint.skip_prefix(other);
        }
        if !checkpoint.has_prefix(vision::PREFIX) {
            checkpoint = checkpoint.under(vision::PREFIX);
        }
        return Ok((Kind::Encoder(config), checkpoint));
    }
    Ok((Kind::Language(LlmConfig::from_json(config)?), checkpoint.under(LLM_PREFIX)))
}

/// The embedding table, not the configuration, says how large the vocabulary is; a model that judges may lack the head
/// that speaks.
fn settle(
    config: &mut LlmConfig,
    (prefix, judges): (&str, bool),
    checkpoint: &mut Checkpoint,
) -> Result<(), Error> {
    let shape = checkpoint.shape(&format!("{prefix}model.embed_tokens.weight"))?;
    config.vocab_size = shape.first().copied().unwrap_or_default();
    let head = format!("{prefix}lm_head.weight");
    if config.tied_head {
        checkpoint.skip(&head);
    } else if judges && !checkpoint.contains(&head) {
        config.tied_head = true;
    }
    Ok(())
}
