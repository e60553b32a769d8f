//! Where tensors live and how frozen weights are stored.

use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, PoisonError, RwLock};

use kernels::cuda::Card;

/// A name that is no device or storage type, or a device that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a device this build knows.
    #[error("unknown device `{0}`, expected `auto`, `cpu`, `cuda` or `cuda:N`")]
    Device(String),
    /// The card cannot be used.
    #[error(transparent)]
    Card(#[from] kernels::cuda::Error),
    /// Not a storage type.
    #[error("unknown storage type `{0}`, expected `float32`, `bfloat16`, `int8` or `int4`")]
    DType(String),
}

/// The machine part a tensor's values are in.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// Main memory and the CPU's vector units.
    Cpu,
    /// An NVIDIA card.
    Cuda(Card),
}

static CURRENT: LazyLock<RwLock<Device>> = LazyLock::new(|| RwLock::new(Device::first()));

impl Device {
    /// Opens what a name says: `cpu`, `cuda` (the first card), `cuda:N`, or `auto`, which is the CPU until the
    /// kernels have been measured on a card.
    ///
    /// # Errors
    /// [`Error::Device`] for any other name, [`Error::Card`] where the card cannot be used.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let unknown = || Error::Device(name.to_owned());
        match name {
            "auto" | "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(Card::open(0)?)),
            other => {
                let index = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                Ok(Self::Cuda(Card::open(index.parse().map_err(|_| unknown())?)?))
            }
        }
    }

    /// Where weights are packed. Everything else follows them: an operation runs where its weights or its first
    /// tensor is, and what is elsewhere is brought there.
    pub fn current() -> Self {
        CURRENT.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a program begins.
    #[cfg(not(feature = "emulator"))]
    fn first() -> Self {
        Self::Cpu
    }

    /// A card of so many bytes whose kernels run on the CPU.
    ///
    /// # Panics
    /// If no C++ compiler is there.
    #[cfg(feature = "emulator")]
    pub fn emulated(bytes: usize) -> Self {
        Self::Cuda(Card::emulated(bytes).expect("a C++ compiler"))
    }

    /// Where tests run: what `SIGHTLINE_DEVICE` says, `emulator` besides the usual names.
    #[cfg(feature = "emulator")]
    fn first() -> Self {
        match std::env::var("SIGHTLINE_DEVICE").as_deref() {
            Ok("emulator") => Self::emulated(8 << 30),
            Ok(name) => Self::parse(name).expect("the device that SIGHTLINE_DEVICE names"),
            Err(_) => Self::Cpu,
        }
    }

    /// Makes this the place of all weights that are packed from here on: once, when a program starts.
    pub fn make_current(self) {
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = self;
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(card) => f.write_str(card.name()),
        }
    }
}

/// How a weight is stored. Arithmetic is f32, but for products of rows with weights of 8 and 4 bits:
/// there the rows are rounded to bytes too, 32 values to a scale, in training as in decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// Four bytes a value.
    F32,
    /// Two bytes a value, rounded to nearest even: half the memory traffic of decoding.
    Bf16,
    /// 8 bits a value and a scale for each 32 of a row, as GGUF's Q8_0.
    Int8,
    /// 4 bits a value, a scale and a minimum for each 32 of a row, as GGUF's Q4_1.
    Int4,
}

impl DType {
    /// Memory of so many values.
    pub fn bytes(self, num_values: usize) -> usize {
        match self {
            Self::F32 => 4 * num_values,
            Self::Bf16 => 2 * num_values,
            Self::Int8 => num_values * 17 / 16,
            Self::Int4 => num_values * 5 / 8,
        }
    }

    /// How tables of embeddings and heads are stored beside matrices of this type: 4 bits are too
    /// few for them.
    #[must_use]
    pub fn of_tables(self) -> Self {
        match self {
            Self::Int4 => Self::Int8,
            other => other,
        }
    }

    /// How a vision encoder is stored beside a language model of this type: its features are
    /// computed once, so bits are no cost.
    #[must_use]
    pub fn of_encoders(self) -> Self {
        match self {
            Self::Int8 | Self::Int4 => Self::Bf16,
            other => other,
        }
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "f32" | "float32" => Ok(Self::F32),
            "bf16" | "bfloat16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            "int4" => Ok(Self::Int4),
            other => Err(Error::DType(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Device::parse("auto").unwrap(), Device::Cpu);
        assert_eq!("bfloat16".parse::<DType>().unwrap(), DType::Bf16);
        let expected = "expected `auto`, `cpu`, `cuda` or `cuda:N`";
        for name in ["tpu", "cuda:", "cuda:x"] {
            let error = Device::parse(name).unwrap_err().to_string();
            assert_eq!(error, format!("unknown device `{name}`, {expected}"));
        }
        let error = "fp16".parse::<DType>().unwrap_err().to_string();
        assert!(error.ends_with("expected `float32`, `bfloat16`, `int8` or `int4`"), "{error}");
    }
}
