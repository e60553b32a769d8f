//! `tojson` as Python's `json.dumps(ensure_ascii=False)` writes it.

use std::io::{self, Write};

use minijinja::value::Value;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

/// Serialises a template value; `indent` spreads it over lines.
///
/// # Errors
///
/// When a value has no JSON form.
pub(crate) fn to_json(value: &Value, indent: Option<usize>) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    if let Some(indent) = indent {
        let indent = " ".repeat(indent);
        let formatter = PrettyFormatter::with_indent(indent.as_bytes());
        value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    } else {
        value.serialize(&mut Serializer::with_formatter(&mut bytes, OneLine))?;
    }
    Ok(String::from_utf8(bytes).expect("a serialiser writes UTF-8"))
}

/// A space after each comma and colon.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}
