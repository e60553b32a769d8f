//! How the completions of a prompt are drawn, and what ends them.

use model::vlm::Vlm;
use preprocess::Tokenizer;

use crate::Error;
use crate::generate::GenerateConfig;

/// Settings made ready: shared by all prompts that are drawn alike.
#[derive(Debug)]
pub struct Drawing<'a> {
    pub(crate) config: GenerateConfig,
    pub(crate) tokenizer: &'a Tokenizer,
    /// Tokens that end a completion.
    pub(crate) stop_ids: Vec<u32>,
    /// Tokens that are never chosen.
    pub(crate) banned: Vec<u32>,
}

impl<'a> Drawing<'a> {
    /// What `config` says, for this model.
    ///
    /// # Errors
    ///
    /// When a setting is out of range.
    pub fn new(config: GenerateConfig, tokenizer: &'a Tokenizer, vlm: &Vlm) -> Result<Self, Error> {
        config.validate()?;
        // A special token leaves no text: as a stop string it can only be seen by its id.
        let special = |text: &String| tokenizer.id(text).filter(|&id| tokenizer.is_special(id));
        let special = config.stop_strings.iter().filter_map(special);
        let stop_ids = config.stop_ids.iter().copied().chain(special).collect();
        let banned = config.banned_ids.iter().copied().chain(vlm.image_token).collect();
        Ok(Self { config, tokenizer, stop_ids, banned })
    }

    /// Texts that end a completion.
    pub(crate) fn stop_strings(&self) -> impl Iterator<Item = &str> {
        self.config.stop_strings.iter().map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether tokens that were seen are less likely.
    pub(crate) fn penalises(&self) -> bool {
        self.config.sampling.repetition_penalty != 1.0
    }
}
