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
    #[error("unknown storage type `{0}`, expected `f32` or `bf16`")]
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

/// How a weight is stored. Arithmetic is f32 either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// Four bytes a value.
    F32,
    /// Two bytes a value, rounded to nearest even: half the memory traffic of decoding.
    Bf16,
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "f32" | "float32" => Ok(Self::F32),
            "bf16" | "bfloat16" => Ok(Self::Bf16),
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
