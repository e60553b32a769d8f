//! `sightline assets`: fetch, list and verify the demo's models and data.

use ::assets::{AssetKind, AssetState, AssetStatus, Assets, Progress as Fetching, Settings};
use anyhow::{Result, bail};
use serde::Serialize;

use crate::Context;
use crate::args::{AssetsArgs, AssetsCommand, CacheArgs};
use crate::failure::usage;
use crate::output::{Table, bytes};
use crate::progress::{Meter, Progress, Unit};

/// One asset, as it is printed.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    description: &'static str,
    licence: &'static str,
    state: &'static str,
    path: String,
    /// Where it came from; for a damaged one, what is wrong.
    detail: String,
    bytes: Option<u64>,
}

/// Fetches, lists or verifies; the table of all named assets ends it.
pub(crate) fn run(command: &AssetsCommand, context: &Context) -> Result<()> {
    match command {
        AssetsCommand::Fetch(args) => {
            let assets = open(&args.cache)?;
            for kind in kinds(args) {
                fetch(&assets, kind, &context.progress)?;
            }
            show(kinds(args).iter().map(|&kind| assets.status(kind)), context)?;
        }
        AssetsCommand::List(args) => {
            let assets = open(&args.cache)?;
            show(kinds(args).iter().map(|&kind| assets.status(kind)), context)?;
        }
        AssetsCommand::Verify(args) => verify(args, context)?,
    }
    Ok(())
}

/// The cache that the options and the environment name.
pub(crate) fn open(args: &CacheArgs) -> Result<Assets> {
    let variable = |name: &str| std::env::var(name).ok();
    let settings = Settings::from_variables(variable, args.cache.clone()).map_err(usage)?;
    Ok(Assets::new(Settings { offline: args.offline || settings.offline, ..settings }))
}

/// Makes sure that an asset is there; returns its folder.
pub(crate) fn fetch(
    assets: &Assets,
    kind: AssetKind,
    progress: &Progress,
) -> Result<std::path::PathBuf> {
    let mut meter = None;
    let folder = assets.fetch(kind, &mut |state| measure(&mut meter, progress, &state));
    meter.into_iter().for_each(Meter::finish);
    Ok(folder?)
}

pub(crate) fn measure(meter: &mut Option<Meter>, progress: &Progress, state: &Fetching) {
    let meter = meter.get_or_insert_with(|| progress.meter(state.asset, Unit::Bytes, state.total));
    if let Some(total) = state.total {
        meter.set_total(total);
    }
    meter.set(state.done, &state.step.to_string());
}

fn verify(args: &AssetsArgs, context: &Context) -> Result<()> {
    let assets = open(&args.cache)?;
    let mut found = Vec::new();
    for kind in kinds(args) {
        let mut meter = None;
        let mut told = |state| measure(&mut meter, &context.progress, &state);
        let status = assets.verify(kind, &mut told);
        meter.into_iter().for_each(Meter::finish);
        found.push(status?);
    }
    let ready = |status: &&AssetStatus| matches!(status.state, AssetState::Ready { .. });
    let num_ready = found.iter().filter(ready).count();
    let total = found.len();
    show(found, context)?;
    if num_ready < total {
        bail!("{num_ready} of {total} assets are whole; `sightline assets fetch` gets the others");
    }
    Ok(())
}

fn kinds(args: &AssetsArgs) -> Vec<AssetKind> {
    match args.names.is_empty() {
        true => AssetKind::ALL.to_vec(),
        false => args.names.clone(),
    }
}

fn show(found: impl IntoIterator<Item = AssetStatus>, context: &Context) -> Result<()> {
    let lines: Vec<Line> = found.into_iter().map(line).collect();
    context.output.show(&lines, |lines| {
        let mut table = Table::new(&["asset", "state", "size", "what", "licence", "where"]);
        for line in lines {
            let size = line.bytes.map(bytes).unwrap_or_default();
            let cells = [line.name, line.state, &size, line.description, line.licence];
            let place = match line.detail.is_empty() {
                true => line.path.clone(),
                false => format!("{} ({})", line.path, line.detail),
            };
            table.row(cells.map(str::to_owned).into_iter().chain([place]));
        }
        table.to_string()
    })
}

fn line(status: AssetStatus) -> Line {
    let (state, detail, bytes) = match status.state {
        AssetState::Missing => ("missing", String::new(), None),
        AssetState::Ready { source, bytes } => ("ready", source, Some(bytes)),
        AssetState::Damaged { reason } => ("damaged", reason, None),
    };
    Line {
        name: status.kind.name(),
        description: status.kind.description(),
        licence: status.kind.licence(),
        state,
        path: status.path.display().to_string(),
        detail,
        bytes,
    }
}
