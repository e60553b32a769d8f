//! `sightline data`: the demo's task, and easy-VQA.

use std::path::PathBuf;

use ::assets::{AssetKind, MNIST_60K_TABLE, MNIST_TABLE};
use ::data::arithmetic::{self, ArithmeticTask};
use ::data::digits::{self, DigitFiles, DigitTask};
use ::data::easy_vqa::{self, EasyVqaFiles};
use anyhow::Result;
use serde::Serialize;

use super::{assets, demo};
use crate::Context;
use crate::args::{
    ArithmeticArgs, CacheArgs, DataCommand, DigitSource, DigitsArgs, EasyVqaArgs, Operators,
};
use crate::failure::usage;

/// What was written.
#[derive(Serialize)]
struct Written {
    train: PathBuf,
    held_out: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<PathBuf>,
    num_train: usize,
    num_held_out: usize,
    /// Everything that determines the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<DigitTask>,
}

/// Builds a data set.
pub(crate) fn run(command: &DataCommand, context: &Context) -> Result<()> {
    let written = match command {
        DataCommand::Digits(args) => build_digits(args, context)?,
        DataCommand::Arithmetic(args) => build_arithmetic(args)?,
        DataCommand::EasyVqa(args) => build_easy_vqa(args, context)?,
    };
    context.output.show(&written, |written| {
        let Written { train, held_out, probe, num_train, num_held_out, .. } = written;
        // A probe has as many questions as there are held-out samples.
        let held_out = [Some(held_out), probe.as_ref()].into_iter().flatten();
        let files = held_out.map(|path| (path, num_held_out));
        let lines = [(train, num_train)].into_iter().chain(files);
        let lines = lines.map(|(path, count)| format!("{}: {count} samples", path.display()));
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn build_digits(args: &DigitsArgs, context: &Context) -> Result<Written> {
    let task = digit_task(args);
    let (kind, table) = match args.bitmaps {
        DigitSource::Mnist => (AssetKind::Mnist, MNIST_TABLE),
        DigitSource::Mnist60k => (AssetKind::Mnist60k, MNIST_60K_TABLE),
    };
    let table = fetch(&args.cache, kind, context)?.join(table);
    let files = digits::build(&task, &digits::read_table(&table)?, &args.output);
    let DigitFiles { train, held_out, probe, num_train, .. } = files.map_err(option_or_failure)?;
    let num_held_out = task.num_held_out;
    Ok(Written { train, held_out, probe, num_train, num_held_out, task: Some(task) })
}

/// The demo's task, but for what is given.
fn digit_task(args: &DigitsArgs) -> DigitTask {
    let task = demo::task(args.seed);
    let operators = args.operators.clone().map_or(task.operators, |Operators(given)| given);
    DigitTask {
        seed: args.seed,
        operators,
        num_digits: args.num_digits.unwrap_or(task.num_digits),
        max_digit: args.max_digit.unwrap_or(task.max_digit),
        tile: args.tile.unwrap_or(task.tile),
        operator_place: args.operator_place.unwrap_or(task.operator_place),
        paper: args.paper.unwrap_or(task.paper),
        thought: args.thought.unwrap_or(task.thought),
        num_train: args.train.unwrap_or(task.num_train),
        num_held_out: args.held_out.unwrap_or(task.num_held_out),
        held_out_share: args.held_out_share.unwrap_or(task.held_out_share),
        skip: args.skip,
        presence: args.presence.unwrap_or(task.presence),
    }
}

fn build_arithmetic(args: &ArithmeticArgs) -> Result<Written> {
    let Operators(operators) = args.operators.clone();
    let task = ArithmeticTask {
        seed: args.seed,
        operators,
        num_numbers: args.num_numbers,
        max_number: args.max_number,
        thought: args.thought,
        num_train: args.train,
        num_held_out: args.held_out,
        held_out_share: args.held_out_share,
    };
    let (train, held_out) = arithmetic::build(&task, &args.output).map_err(option_or_failure)?;
    let (num_train, num_held_out) = (task.num_train, task.num_held_out);
    Ok(Written { train, held_out, probe: None, num_train, num_held_out, task: None })
}

fn build_easy_vqa(args: &EasyVqaArgs, context: &Context) -> Result<Written> {
    let source = fetch(&args.cache, AssetKind::EasyVqa, context)?;
    let EasyVqaFiles { train, held_out, num_train, num_held_out } =
        easy_vqa::build(&source, args.questions, &args.output)?;
    Ok(Written { train, held_out, probe: None, num_train, num_held_out, task: None })
}

fn fetch(cache: &CacheArgs, kind: AssetKind, context: &Context) -> Result<PathBuf> {
    assets::fetch(&assets::open(cache)?, kind, &context.progress)
}

fn option_or_failure(error: ::data::Error) -> anyhow::Error {
    match error {
        ::data::Error::Option { .. } => usage(error),
        other => other.into(),
    }
}
