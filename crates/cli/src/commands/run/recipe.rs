//! The file of a pipeline: what is written in it, and what of that each stage gets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use recipes::config::parse_value;
use serde::Deserialize;
use toml::{Table, Value};

use super::{invocation, reference};
use crate::args::RunArgs;
use crate::failure::usage;

/// Keys of a stage that are not its command's.
const OWN_KEYS: [&str; 2] = ["name", "command"];

/// Keys that the pipeline itself sets.
const RESERVED: [&str; 5] = ["output", "output_dir", "dry_run", "set", "resume_from_checkpoint"];

/// The name in references that no stage may have.
const ROOT: &str = "output_dir";

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    output_dir: PathBuf,
    #[serde(default)]
    shared: Table,
    #[serde(rename = "stage", default)]
    stages: Vec<Table>,
}

/// A pipeline whose every stage has been understood.
pub(super) struct Pipeline {
    /// Where the folders of the stages are.
    pub(super) output_dir: PathBuf,
    /// In the order they run.
    pub(super) stages: Vec<Stage>,
}

/// A command and its keys.
pub(super) struct Stage {
    /// What later stages call it.
    pub(super) name: String,
    /// The words of the command.
    pub(super) command: String,
    /// Its keys, references not resolved.
    pub(super) values: Table,
    /// Names of the stages that it refers to.
    pub(super) from: BTreeSet<String>,
}

impl Pipeline {
    /// Reads a recipe with what the command line changes, and checks every stage's keys: a mistake in
    /// the last stage shows before the first one runs.
    pub(super) fn read(args: &RunArgs) -> Result<Self> {
        let place = || args.recipe.display().to_string();
        let text = std::fs::read_to_string(&args.recipe).with_context(place).map_err(usage)?;
        let read = Self::parse(&text, &args.overrides, args.output_dir.as_deref());
        let mut pipeline = read.with_context(place).map_err(usage)?;
        if let Some(until) = &args.until {
            let at = pipeline.stages.iter().position(|stage| stage.name == *until);
            let names = || pipeline.names().join(", ");
            let at = at.ok_or_else(|| {
                usage(anyhow!("--until {until}: no such stage; the stages are {}", names()))
            })?;
            pipeline.stages.truncate(at + 1);
        }
        Ok(pipeline)
    }

    fn parse(text: &str, overrides: &[(String, String)], output: Option<&Path>) -> Result<Self> {
        let Raw { output_dir, mut shared, stages } = toml::from_str(text)?;
        shared.extend(overrides.iter().map(|(key, value)| (key.clone(), parse_value(value))));
        ensure!(!stages.is_empty(), "no [[stage]]");
        let output_dir = output.map_or(output_dir, Path::to_owned);
        let mut pipeline = Self { output_dir, stages: Vec::new() };
        let mut used = BTreeSet::new();
        for (number, table) in (1..).zip(stages) {
            let name = table.get("name").and_then(Value::as_str).map(str::to_owned);
            let stage = pipeline.stage(table, &shared, &mut used);
            let what = || name.map_or(format!("stage {number}"), |name| format!("stage {name}"));
            pipeline.stages.push(stage.with_context(what)?);
        }
        if let Some(key) = shared.keys().find(|key| !used.contains(*key)) {
            bail!("shared key `{key}`: no stage has it");
        }
        Ok(pipeline)
    }

    /// Understands one stage; the shared keys that it takes are added to `used`.
    fn stage(
        &self,
        mut table: Table,
        shared: &Table,
        used: &mut BTreeSet<String>,
    ) -> Result<Stage> {
        let mut text = |key: &str| match table.remove(key) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => bail!("{key} = {other}: expected a text"),
            None => bail!("no `{key}`"),
        };
        let [name, command] = OWN_KEYS.map(&mut text);
        let (name, command) = (name?, command?);
        self.check_name(&name)?;
        for key in RESERVED {
            ensure!(!table.contains_key(key), "the pipeline itself sets `{key}`");
        }
        let known = invocation::keys(&command)?;
        for (key, value) in shared {
            if known.contains(key) && !RESERVED.contains(&key.as_str()) {
                used.insert(key.clone());
                table.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        let from = self.references(&table)?;
        // References stand for paths, so that a command's own checks already hold with them.
        invocation::parse(&command, &table, Path::new("${output}"))?;
        Ok(Stage { name, command, values: table, from })
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(
            !name.is_empty() && name.chars().all(is_plain) && name != ROOT,
            "name = \"{name}\": expected letters, digits, - and _, and not {ROOT}"
        );
        ensure!(!self.names().contains(&name), "there is an earlier stage of that name");
        Ok(())
    }

    /// The stages that a table refers to; each must stand before it.
    fn references(&self, table: &Table) -> Result<BTreeSet<String>> {
        let mut from = BTreeSet::new();
        for reference in reference::all(&Value::Table(table.clone()))? {
            if reference.stage != ROOT {
                let known = self.names();
                ensure!(
                    known.contains(&reference.stage.as_str()),
                    "{reference}: no earlier stage has that name; they are {}",
                    known.join(", ")
                );
                from.insert(reference.stage);
            }
        }
        Ok(from)
    }

    fn names(&self) -> Vec<&str> {
        self.stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    /// The folder of a stage, or of them all.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        match name {
            ROOT => self.output_dir.clone(),
            name => self.output_dir.join(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SFT: &str = "model_name_or_path = \"vlm\"\ndataset = \"a.jsonl\"\nlearning_rate = 1e-3\n\
        save_steps = 5\nper_device_train_batch_size = 2\n";

    fn parse(text: &str) -> Result<Pipeline, String> {
        Pipeline::parse(text, &[], None).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn shared_keys_go_to_the_stages_that_have_them() {
        let text = format!(
            "output_dir = \"out\"\n[shared]\nseed = 7\nmax_steps = 3\n\
             [[stage]]\nname = \"vlm\"\ncommand = \"assemble\"\nvision = \"a\"\nllm = \"b\"\n\
             [[stage]]\nname = \"sft\"\ncommand = \"sft\"\nmax_steps = 4\n{SFT}\
             adapter_name_or_path = \"${{vlm}}/a\"\n"
        );
        let pipeline = parse(&text).unwrap();
        let [vlm, sft] = &pipeline.stages[..] else { panic!("two stages") };
        assert_eq!(vlm.values["seed"], Value::Integer(7));
        assert!(!vlm.values.contains_key("max_steps"));
        assert_eq!((&sft.values["seed"], &sft.values["max_steps"]), (&7.into(), &4.into()));
        assert_eq!(sft.from, BTreeSet::from(["vlm".to_owned()]));
        let seed = [("seed".to_owned(), "9".to_owned())];
        let other = Pipeline::parse(&text, &seed, Some(Path::new("there"))).unwrap();
        assert_eq!(other.stages[1].values["seed"], Value::Integer(9));
        assert_eq!(other.folder("sft"), Path::new("there/sft"));
    }

    #[test]
    fn mistakes_are_named_before_anything_runs() {
        let stage = |keys: &str| format!("output_dir = \"out\"\n[[stage]]\n{keys}");
        let sft = |keys: &str| stage(&format!("name = \"a\"\ncommand = \"sft\"\n{SFT}{keys}\n"));
        for (text, want) in [
            ("output_dir = \"out\"".to_owned(), "no [[stage]]"),
            ("a = 1\noutput_dir = \"out\"".to_owned(), "unknown field `a`"),
            (stage("command = \"sft\"\n"), "stage 1: no `name`"),
            (stage("name = \"a b\"\ncommand = \"sft\"\n"), "expected letters"),
            (stage("name = \"a\"\ncommand = \"train\"\n"), "unknown command `train`"),
            (stage("name = \"a\"\ncommand = \"data\"\n"), "digits"),
            (stage("name = \"a\"\ncommand = \"run\"\nrecipe = \"b\"\n"), "cannot be a stage"),
            (stage("name = \"a\"\ncommand = \"serve\"\nmodel = \"b\"\n"), "cannot be a stage"),
            (sft("learning_rat = 1"), "stage a: command line: unknown key `learning_rat`"),
            (sft("max_steps = \"x\""), "max_steps"),
            (sft("output_dir = \"b\""), "the pipeline itself sets `output_dir`"),
            (sft("feature_cache = \"${b}\""), "${b}: no earlier stage has that name"),
            (sft("feature_cache = \"${b\""), "is not closed"),
            (format!("{}[shared]\nbeta = 1\n", sft("")), "shared key `beta`: no stage has it"),
            (
                stage("name = \"a\"\ncommand = \"assemble\"\nvison = \"b\"\nllm = \"c\"\n"),
                "unknown key `vison`; the keys are vision, llm",
            ),
        ] {
            let error = parse(&text).map(|_| ()).unwrap_err();
            assert!(error.contains(want), "{text}\n{error}");
        }
    }
}
