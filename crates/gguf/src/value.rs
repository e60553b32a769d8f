//! Metadata values: typed scalars, strings and flat arrays.

use std::io::Read;

use crate::source::Source;

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An 8-bit unsigned integer.
    U8(u8),
    /// An 8-bit signed integer.
    I8(i8),
    /// A 16-bit unsigned integer.
    U16(u16),
    /// A 16-bit signed integer.
    I16(i16),
    /// A 32-bit unsigned integer.
    U32(u32),
    /// A 32-bit signed integer.
    I32(i32),
    /// A 32-bit float.
    F32(f32),
    /// A boolean.
    Bool(bool),
    /// A string.
    String(String),
    /// Many values of one type.
    Array(Array),
    /// A 64-bit unsigned integer.
    U64(u64),
    /// A 64-bit signed integer.
    I64(i64),
    /// A 64-bit float.
    F64(f64),
}

/// An array of one element type. Arrays of arrays are refused: no language model's metadata has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Integers of any width.
    Int(Vec<i64>),
    /// Floats of either width.
    Float(Vec<f64>),
    /// Booleans.
    Bool(Vec<bool>),
    /// Strings.
    String(Vec<String>),
}

impl Value {
    /// The value as `u64`, whatever integer type the file used; `None` when it is no integer or negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::U64(x) => Some(x),
            Self::I8(x) => x.try_into().ok(),
            Self::I16(x) => x.try_into().ok(),
            Self::I32(x) => x.try_into().ok(),
            Self::I64(x) => x.try_into().ok(),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// The value as `u32`, whatever integer type the file used; `None` when it does not fit.
    pub fn as_u32(&self) -> Option<u32> {
        self.as_u64()?.try_into().ok()
    }

    /// The value as `f32`, from either float type.
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Self::F32(x) => Some(x),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to f32 is what is asked for"
            )]
            Self::F64(x) => Some(x as f32),
            _ => None,
        }
    }

    /// The value as a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(x) = *self { Some(x) } else { None }
    }

    /// The value as a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(x) = self { Some(x) } else { None }
    }

    /// The value as an array of strings.
    pub fn as_strings(&self) -> Option<&[String]> {
        if let Self::Array(Array::String(x)) = self { Some(x) } else { None }
    }

    /// The value as an array of integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        if let Self::Array(Array::Int(x)) = self { Some(x) } else { None }
    }

    /// The value as an array of floats.
    pub fn as_floats(&self) -> Option<&[f64]> {
        if let Self::Array(Array::Float(x)) = self { Some(x) } else { None }
    }

    /// The type, as error messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) | Self::U16(_) | Self::U32(_) | Self::U64(_) => "an unsigned integer",
            Self::I8(_) | Self::I16(_) | Self::I32(_) | Self::I64(_) => "a signed integer",
            Self::F32(_) | Self::F64(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Array(Array::Int(_)) => "an array of integers",
            Self::Array(Array::Float(_)) => "an array of floats",
            Self::Array(Array::Bool(_)) => "an array of booleans",
            Self::Array(Array::String(_)) => "an array of strings",
        }
    }
}

const ARRAY: u32 = 9;

/// Reads a value: its type, then its content.
pub(crate) fn read_value(source: &mut Source<impl Read>, key: &str) -> Result<Value, String> {
    let kind = source.u32(key)?;
    if kind == ARRAY {
        read_array(source, key).map(Value::Array)
    } else {
        read_scalar(source, key, kind)
    }
}

fn read_scalar(source: &mut Source<impl Read>, key: &str, kind: u32) -> Result<Value, String> {
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(source.array(key)?)),
        1 => Value::I8(i8::from_le_bytes(source.array(key)?)),
        2 => Value::U16(u16::from_le_bytes(source.array(key)?)),
        3 => Value::I16(i16::from_le_bytes(source.array(key)?)),
        4 => Value::U32(source.u32(key)?),
        5 => Value::I32(i32::from_le_bytes(source.array(key)?)),
        6 => Value::F32(f32::from_le_bytes(source.array(key)?)),
        7 => Value::Bool(read_bool(source.array(key)?, key)?),
        8 => Value::String(source.string(key)?),
        10 => Value::U64(source.u64(key)?),
        11 => Value::I64(i64::from_le_bytes(source.array(key)?)),
        12 => Value::F64(f64::from_le_bytes(source.array(key)?)),
        _ => return Err(format!("metadata key {key:?} has the unknown type {kind}")),
    })
}

fn read_array(source: &mut Source<impl Read>, key: &str) -> Result<Array, String> {
    let kind = source.u32(key)?;
    let count = source.u64(key)?;
    // The smallest size of one element; a string is at least its length field.
    let size = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        ARRAY => return Err(format!("metadata key {key:?} is an array of arrays")),
        _ => return Err(format!("metadata key {key:?} is an array of the unknown type {kind}")),
    };
    let count = source.expect_items(key, count, size)?;
    if kind == 8 {
        return (0..count).map(|_| source.string(key)).collect::<Result<_, _>>().map(Array::String);
    }
    let bytes = source.bytes(key, count as u64 * size)?;
    let items = bytes.chunks_exact(usize::try_from(size).expect("sizes are at most 8"));
    Ok(match kind {
        6 => Array::Float(items.map(|b| f32::from_le_bytes(fixed(b)).into()).collect()),
        12 => Array::Float(items.map(|b| f64::from_le_bytes(fixed(b))).collect()),
        7 => Array::Bool(items.map(|b| read_bool(fixed(b), key)).collect::<Result<_, _>>()?),
        10 => Array::Int(items.map(|b| read_u64(fixed(b), key)).collect::<Result<_, _>>()?),
        _ => Array::Int(items.map(|b| read_int(b, kind)).collect()),
    })
}

fn read_int(bytes: &[u8], kind: u32) -> i64 {
    match kind {
        0 => u8::from_le_bytes(fixed(bytes)).into(),
        1 => i8::from_le_bytes(fixed(bytes)).into(),
        2 => u16::from_le_bytes(fixed(bytes)).into(),
        3 => i16::from_le_bytes(fixed(bytes)).into(),
        4 => u32::from_le_bytes(fixed(bytes)).into(),
        5 => i32::from_le_bytes(fixed(bytes)).into(),
        _ => i64::from_le_bytes(fixed(bytes)),
    }
}

fn read_u64(bytes: [u8; 8], key: &str) -> Result<i64, String> {
    let number = u64::from_le_bytes(bytes);
    number.try_into().map_err(|_| {
        format!("metadata key {key:?} holds {number}, above the largest 64-bit signed integer")
    })
}

fn read_bool([byte]: [u8; 1], key: &str) -> Result<bool, String> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(format!("metadata key {key:?} has a boolean of value {byte}")),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks have the size of the type")
}
