//! `sightline verify`: predicted answers against known ones.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use reward::{Why, verify};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Context;
use crate::args::VerifyArgs;
use crate::output::suffixed;
use crate::progress::Unit;

/// What a line gains.
const FIELDS: [&str; 3] = ["equivalent", "extracted", "why"];

/// A line of the output.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    input: Map<String, Value>,
    equivalent: bool,
    extracted: Extracted,
    why: Why,
}

/// The answers as they were found.
#[derive(Serialize)]
struct Extracted {
    gold: String,
    prediction: Option<String>,
}

/// What the command says in the end.
#[derive(Serialize)]
struct Summary<'a> {
    output: &'a Path,
    num_pairs: u64,
    num_equivalent: u64,
    num_without_gold: u64,
}

/// Compares the pairs of a file.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<()> {
    let partial = suffixed(&args.output, ".partial");
    let summary = write(args, &partial, context).and_then(|summary| {
        let renamed = std::fs::rename(&partial, &args.output);
        renamed.with_context(|| format!("cannot write {}", args.output.display()))?;
        Ok(summary)
    });
    if summary.is_err() {
        // half a file is no result; that it cannot be removed changes nothing
        drop(std::fs::remove_file(&partial));
    }
    context.output.show(&summary?, |summary| {
        let Summary { output, num_pairs, num_equivalent, num_without_gold } = summary;
        let without = match num_without_gold {
            0 => String::new(),
            count => format!(", {count} without a gold answer"),
        };
        format!("{}: {num_pairs} pairs, {num_equivalent} equivalent{without}", output.display())
    })
}

/// Writes a verdict for each line as it is read.
fn write<'a>(args: &'a VerifyArgs, partial: &Path, context: &Context) -> Result<Summary<'a>> {
    let lines = data::lines::<Map<String, Value>>(&args.input)?;
    let cannot = || format!("cannot write {}", args.output.display());
    let mut file = BufWriter::new(File::create(partial).with_context(cannot)?);
    let mut meter = context.progress.meter("pairs", Unit::Items, None);
    let (output, num_pairs, num_equivalent, num_without_gold) = (&*args.output, 0, 0, 0);
    let mut summary = Summary { output, num_pairs, num_equivalent, num_without_gold };
    for line in lines {
        let (number, input) = line?;
        let line = judged(input).with_context(|| format!("{}:{number}", args.input.display()))?;
        summary.num_pairs += 1;
        summary.num_equivalent += u64::from(line.equivalent);
        summary.num_without_gold += u64::from(line.why == Why::NoGold);
        serde_json::to_writer(&mut file, &line).with_context(cannot)?;
        file.write_all(b"\n").with_context(cannot)?;
        meter.set(summary.num_pairs, "");
    }
    meter.finish();
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).with_context(cannot)?;
    Ok(summary)
}

fn judged(mut input: Map<String, Value>) -> Result<Line> {
    let verdict = verify(text(&input, "gold")?, text(&input, "prediction")?);
    input.retain(|key, _| !FIELDS.contains(&key.as_str()));
    let extracted = Extracted { gold: verdict.gold, prediction: verdict.prediction };
    Ok(Line { input, equivalent: verdict.equivalent, extracted, why: verdict.why })
}

/// A field that must be text: what is a number to JSON may have lost its notation.
fn text<'a>(input: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
    match input.get(key) {
        Some(Value::String(text)) => Ok(text),
        None => bail!("no \"{key}\""),
        Some(other) => {
            let kind = match other {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::Array(_) => "an array",
                Value::Object(_) | Value::String(_) => "an object",
            };
            bail!("\"{key}\" is {kind}, expected a string")
        }
    }
}
