//! The `sightline` binary: from parts to a model that looks and reasons, one subcommand a stage.
//!
//! ```text
//! assets ─► assemble ─► inspect                    parts become a model
//!              │
//!              ├─► generate, chat, logprobs        it is run
//! data ────────┼─► distill ─► sft ─► mpo ─► grpo ─► eval  it is trained and measured; verify compares answers
//!              └─► run, demo                       all of it: from a recipe; on real small parts
//! ```
//!
//! The shell around the libraries: arguments, files, progress, exit codes. Standard output carries
//! results (`--json` for programs), standard error progress, warnings and errors. Exit codes are 0
//! done, 1 failed, 2 wrong usage or configuration.
//!
//! This crate does not compute anything that another could: what a command does is a library call.

mod args;
mod overrides;
mod failure;
mod output;
mod progress;
mod lines;
mod inputs;
mod loaded;
mod scorers;
mod local_model;
mod teachers;
mod commands;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use args::{Cli, Command};
use output::Output;
use progress::Progress;
use tensor::Device;

/// Where a command's words go.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Results.
    pub(crate) output: Output,
    /// Progress and warnings.
    pub(crate) progress: Progress,
}

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let cli = match overrides::parse(arguments.collect()) {
        Ok(cli) => cli,
        Err(message) => {
            // Nobody to tell when the stream is closed.
            drop(message.print());
            return ExitCode::from(message.exit_code().try_into().unwrap_or(2));
        }
    };
    // Run by a worker of the pool, which then shares in the work instead of waiting for it.
    let result = use_threads(cli.threads).and_then(|()| rayon::scope(|_| run(&cli)));
    let Err(error) = result else { return ExitCode::SUCCESS };
    let (code, message) = failure::verdict(&error);
    if let Some(message) = message {
        drop(writeln!(std::io::stderr(), "error: {message}"));
    }
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Result<()> {
    let output = if cli.json { Output::Json } else { Output::Text };
    let context = Context { output, progress: Progress::new(cli.quiet) };
    if let Device::Cuda(card) = &cli.device {
        let memory = card.memory();
        let [free, total] = [memory.free, memory.total].map(|size| output::bytes(size as u64));
        context.progress.note(&format!("on {}, {free} of {total} free", card.name()));
    }
    cli.device.clone().make_current();
    dispatch(&cli.command, &context)
}

/// Runs a command, whoever asks: the command line, or a pipeline whose stage it is.
pub(crate) fn dispatch(command: &Command, context: &Context) -> Result<()> {
    match command {
        Command::Assets(command) => commands::assets::run(command, context),
        Command::Assemble(args) => commands::assemble::run(args, context),
        Command::Inspect(args) => commands::inspect::run(args, context),
        Command::Preprocess(args) => commands::preprocess::run(args, context),
        Command::Generate(args) => commands::generate::run(args, context),
        Command::Chat(args) => commands::chat::run(args, context),
        Command::Serve(args) => commands::serve::run(args, context),
        Command::Logprobs(args) => commands::logprobs::run(args, context),
        Command::Data(command) => commands::data::run(command, context),
        Command::Distill(args) => commands::distill::run(args, context),
        Command::Sft(args) => commands::sft::run(&args.recipe, context),
        Command::IterativeSft(args) => commands::iterative_sft::run(&args.recipe, context),
        Command::Preferences(command) => commands::preferences::run(command, context),
        Command::Mpo(args) => commands::mpo::run(&args.recipe, context),
        Command::Reward(command) => commands::reward::run(command, context),
        Command::Grpo(args) => commands::grpo::run(&args.recipe, context),
        Command::Eval(args) => commands::eval::run(args, context),
        Command::Choose(args) => commands::choose::run(args, context),
        Command::Verify(args) => commands::verify::run(args, context),
        Command::Run(args) => commands::run::run(args, context),
        Command::Report(args) => commands::report::run(args, context),
        Command::Demo(args) => commands::demo::run(args, context),
    }
}

/// The pool that every kernel runs in.
fn use_threads(threads: Option<u16>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
    pool.build_global().context("cannot start threads")
}
