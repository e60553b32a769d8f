//! Which parts of the model train, and their values in and out.

use std::fmt;
use std::str::FromStr;

use super::Vlm;
use crate::Error;
use crate::image_side::{Encoder, ImageSide};
use crate::llm::LlmTraining;
use crate::parameter::{Parameter, Part};

/// Which parts train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trainable {
    /// The adapter alone, as in R1V and R1V2.
    Adapter,
    /// Adapter and all of the language model.
    AdapterLlm,
    /// Adapter and vision encoder.
    AdapterVision,
    /// Adapter and low-rank terms beside the language model's linear layers.
    AdapterLora,
    /// The language model alone: what text without images can teach.
    Llm,
    /// Low-rank terms alone.
    Lora,
}

impl Trainable {
    /// All settings.
    pub const ALL: [Self; 6] = [
        Self::Adapter,
        Self::AdapterLlm,
        Self::AdapterVision,
        Self::AdapterLora,
        Self::Llm,
        Self::Lora,
    ];

    /// Whether the adapter trains.
    pub fn adapter(self) -> bool {
        !matches!(self, Self::Llm | Self::Lora)
    }

    /// What of the language model trains.
    pub fn llm(self) -> LlmTraining {
        match self {
            Self::Adapter | Self::AdapterVision => LlmTraining::Frozen,
            Self::AdapterLlm | Self::Llm => LlmTraining::Full,
            Self::AdapterLora | Self::Lora => LlmTraining::Lora,
        }
    }

    /// Whether the encoder trains, so that its features cannot be cached.
    pub fn vision(self) -> bool {
        self == Self::AdapterVision
    }

    /// Whether samples without images have a gradient.
    pub fn text_trains(self) -> bool {
        self.llm() != LlmTraining::Frozen
    }
}

impl fmt::Display for Trainable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adapter => "adapter",
            Self::AdapterLlm => "adapter+llm",
            Self::AdapterVision => "adapter+vision",
            Self::AdapterLora => "adapter+lora",
            Self::Llm => "llm",
            Self::Lora => "lora",
        })
    }
}

impl FromStr for Trainable {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|setting| setting.to_string() == text).ok_or_else(|| {
            Error::WrongValue {
                key: "trainable".to_owned(),
                value: format!("{text:?}"),
                expected: Self::ALL.map(|setting| setting.to_string()).join(", "),
            }
        })
    }
}

impl Vlm {
    /// The parameters that train under a setting, with their present values. The low-rank terms of
    /// [`LlmTraining::Lora`] must have been added to [`Vlm::llm`] first.
    pub fn parameters(&self, trainable: Trainable) -> Vec<Parameter> {
        let named = |(name, part): (String, Part<'_>)| part.named(name);
        let mut parameters = Vec::new();
        if let Some(side) = &self.images {
            if trainable.adapter() {
                parameters.extend(side.adapter.parts().into_iter().map(named));
            }
            if trainable.vision() {
                parameters.extend(side.encoder.parts().into_iter().map(named));
            }
        }
        parameters.extend(self.llm.parameters(trainable.llm()));
        parameters
    }

    /// Replaces the parameters for which `values` has some, each as long as the parameter.
    pub fn set_parameters<'v>(&mut self, values: impl Fn(&str) -> Option<&'v [f32]>) {
        if let Some(ImageSide { encoder, adapter }) = &mut self.images {
            for (name, mut part) in adapter.parts_mut().into_iter().chain(encoder.parts_mut()) {
                if let Some(values) = values(&name) {
                    part.set(values);
                }
            }
        }
        self.llm.set_parameters(values);
    }

    /// Whether a parameter of this model, given its full name, trains under a setting.
    pub fn trains(&self, trainable: Trainable, name: &str) -> bool {
        let part = |parts: Vec<(String, Part<'_>)>| parts.iter().any(|(known, _)| known == name);
        if let Some(side) = &self.images {
            if part(side.adapter.parts()) {
                return trainable.adapter();
            }
            if part(side.encoder.parts()) {
                return trainable.vision();
            }
        }
        let is_low_rank = !part(self.llm.parts());
        trainable.llm() == if is_low_rank { LlmTraining::Lora } else { LlmTraining::Full }
    }

    /// Fails where a setting asks for what this model cannot do: an encoder of patches is frozen.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_trainable(&self, trainable: Trainable) -> Result<(), Error> {
        match &self.images {
            Some(ImageSide { encoder: Encoder::Patches(_), .. }) if trainable.vision() => {
                let reason = format!("{trainable}: the encoder of Qwen2.5-VL is always frozen");
                Err(Error::input("trainable", reason))
            }
            _ => Ok(()),
        }
    }
}
