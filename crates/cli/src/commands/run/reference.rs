//! `${name}` in the values of a stage: what an earlier one has made.

use std::fmt;

use anyhow::{Result, bail};
use toml::Value;

/// What stands between `${` and `}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The stage.
    pub(super) stage: String,
    /// Whether its checkpoint is meant and not its folder.
    pub(super) is_checkpoint: bool,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, is_checkpoint } = self;
        write!(f, "${{{stage}{}}}", if *is_checkpoint { ".checkpoint" } else { "" })
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.split_once('.') {
            None => Self { stage: text.to_owned(), is_checkpoint: false },
            Some((stage, "checkpoint")) => Self { stage: stage.to_owned(), is_checkpoint: true },
            Some((stage, other)) => {
                bail!("${{{stage}.{other}}}: expected ${{{stage}}} or ${{{stage}.checkpoint}}")
            }
        })
    }
}

/// Every reference in a value and in what it holds.
pub(super) fn all(value: &Value) -> Result<Vec<Reference>> {
    let mut found = Vec::new();
    resolve(value, &mut |reference| {
        found.push(reference.clone());
        Ok(String::new())
    })?;
    Ok(found)
}

/// The value with every reference replaced.
pub(super) fn resolve(
    value: &Value,
    replace: &mut dyn FnMut(&Reference) -> Result<String>,
) -> Result<Value> {
    Ok(match value {
        Value::String(text) => Value::String(resolve_text(text, replace)?),
        Value::Array(values) => {
            let values = values.iter().map(|value| resolve(value, replace));
            Value::Array(values.collect::<Result<_>>()?)
        }
        Value::Table(table) => {
            let entry =
                |(key, value): (&String, &Value)| Ok((key.clone(), resolve(value, replace)?));
            Value::Table(table.iter().map(entry).collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

fn resolve_text(
    text: &str,
    replace: &mut dyn FnMut(&Reference) -> Result<String>,
) -> Result<String> {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            bail!("\"{text}\": a reference is not closed");
        };
        resolved += before;
        resolved += &replace(&Reference::parse(name)?)?;
        rest = after;
    }
    Ok(resolved + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_wherever_they_stand() {
        let table: toml::Table =
            "a = '${x}/b'\nc = ['${y.checkpoint}', 'z', 1]\n[d]\ne = '$x ${x}${x}'"
                .parse()
                .unwrap();
        let replaced = resolve(&Value::Table(table.clone()), &mut |reference| {
            Ok(format!("<{}>", reference.stage))
        });
        let want = "a = '<x>/b'\nc = ['<y>', 'z', 1]\n[d]\ne = '$x <x><x>'".parse().unwrap();
        assert_eq!(replaced.unwrap(), Value::Table(want));
        let names: Vec<String> =
            all(&Value::Table(table)).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["${x}", "${y.checkpoint}", "${x}", "${x}"]);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for (text, want) in
            [("${x", "is not closed"), ("${x.y}", "expected ${x} or ${x.checkpoint}")]
        {
            let error = all(&Value::String(text.to_owned())).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
