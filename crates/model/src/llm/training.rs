//! Which parameters of the language model train, and how they go in and out.

use std::path::Path;

use super::Llm;
use crate::Error;
use crate::lora::{self, Lora, LoraConfig};
use crate::parameter::{Parameter, Part, PartMut};

/// Which parameters of the language model train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmTraining {
    /// None.
    Frozen,
    /// All of them.
    Full,
    /// The low-rank matrices alone.
    Lora,
}

impl Llm {
    /// The parameters that train, with their present values.
    pub fn parameters(&self, training: LlmTraining) -> Vec<Parameter> {
        let named = |(name, part): (String, Part<'_>)| part.named(name);
        match training {
            LlmTraining::Frozen => Vec::new(),
            LlmTraining::Full => self.parts().into_iter().map(named).collect(),
            LlmTraining::Lora => self.lora_parts().into_iter().map(named).collect(),
        }
    }

    /// Replaces the parameters for which `values` has some.
    pub fn set_parameters<'v>(&mut self, values: impl Fn(&str) -> Option<&'v [f32]>) {
        for (name, mut part) in self.parts_mut() {
            if let Some(values) = values(&name) {
                part.set(values);
            }
        }
    }

    /// All dense parameters with their full names: what a checkpoint of this model holds.
    pub fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = vec![(self.embedding_name(), Part::Matrix(&self.embedding))];
        parts.extend(self.blocks.iter().flat_map(|block| block.parts()));
        parts.push((self.norm_name(), Part::Plain(&self.norm)));
        parts.extend(self.head.iter().map(|head| (self.head_name(), Part::Matrix(head))));
        parts
    }

    fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let (embedding, norm, head) = (self.embedding_name(), self.norm_name(), self.head_name());
        let mut parts = vec![
            (embedding, PartMut::Matrix(&mut self.embedding)),
            (norm, PartMut::Plain(&mut self.norm)),
        ];
        parts.extend(self.head.iter_mut().map(|weight| (head.clone(), PartMut::Matrix(weight))));
        parts.extend(self.blocks.iter_mut().flat_map(|block| block.parts_mut()));
        parts
    }

    /// Puts a fresh low-rank term, which changes nothing yet, beside all seven linear layers of
    /// every block.
    pub fn add_lora(&mut self, config: LoraConfig, seed: u64) {
        let linears = self.blocks.iter_mut().flat_map(|block| block.linears_mut());
        for (stream, (_, linear)) in (0..).zip(linears) {
            let (outputs, inputs) = (linear.weight.out_features(), linear.weight.in_features());
            linear.lora = Some(Lora::new(config, [outputs, inputs], seed, stream));
        }
    }

    /// Size of the low-rank terms, if there are any.
    pub fn lora(&self) -> Option<LoraConfig> {
        let mut linears = self.blocks.iter().flat_map(|block| block.linears());
        linears.find_map(|(_, linear)| linear.lora.as_ref().map(Lora::config))
    }

    /// Adds the low-rank terms into the dense weights and drops them.
    pub fn merge_lora(&mut self) {
        let linears = self.blocks.iter_mut().flat_map(|block| block.linears_mut());
        linears.for_each(|(_, linear)| linear.merge_lora());
    }

    /// Writes the low-rank terms as an adapter folder that PEFT and vLLM load. `base_model` is
    /// what the folder says it belongs to.
    ///
    /// # Errors
    ///
    /// When there is no low-rank term or the folder cannot be written.
    pub fn save_lora(&self, folder: &Path, base_model: &str) -> Result<(), Error> {
        let config = self.lora().ok_or_else(|| {
            Error::input("adapter to save", "the language model has no low-rank terms")
        })?;
        lora::save(folder, config, (base_model, &self.prefix), &self.parameters(LlmTraining::Lora))
    }

    /// Reads low-rank terms from an adapter folder in PEFT's layout.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read, asks for something this program does not compute, or lacks
    /// one of the seven linear layers of a block.
    pub fn load_lora(&mut self, folder: &Path) -> Result<(), Error> {
        let (config, mut checkpoint) = lora::open(folder)?;
        for (name, linear) in self.blocks.iter_mut().flat_map(|block| block.linears_mut()) {
            let shape = [linear.weight.out_features(), linear.weight.in_features()];
            linear.lora = Some(Lora::take(config, shape, &mut checkpoint, &name)?);
        }
        checkpoint.finish()
    }

    fn lora_parts(&self) -> Vec<(String, Part<'_>)> {
        let linears = self.blocks.iter().flat_map(|block| block.linears());
        linears.flat_map(|(name, linear)| linear.lora_parts(&name)).collect()
    }
}
