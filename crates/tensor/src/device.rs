//! Where tensors live and how frozen weights are stored.

use std::fmt;
use std::str::FromStr;

/// A name that is no device or storage type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not a device this build knows.
    #[error("unknown device `{0}`, expected `auto` or `cpu`")]
    Device(String),
    /// Not a storage type.
    #[error("unknown storage type `{0}`, expected `f32`, `bf16`, `int8` or `int4`")]
    DType(String),
}

/// The machine part a tensor's values are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Main memory and the CPU's vector units.
    Cpu,
}

impl Device {
    /// Reads `auto` (the best device present) or `cpu`.
    ///
    /// # Errors
    /// [`Error::Device`] for any other name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "auto" | "cpu" => Ok(Self::Cpu),
            other => Err(Error::Device(other.to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu")
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
        assert_eq!(Device::parse("auto"), Ok(Device::Cpu));
        assert_eq!("bfloat16".parse(), Ok(DType::Bf16));
        let error = Device::parse("tpu").unwrap_err();
        assert_eq!(error.to_string(), "unknown device `tpu`, expected `auto` or `cpu`");
        assert!("f16".parse::<DType>().is_err());
    }
}
