//! What the trainers share: settings from file and options, progress, and the closing words.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use engine::{Event, StepReport};
use recipes::config::{Recipe, resolved};
use recipes::mpo::BEST_FOLDER;
use recipes::run::{Notice, Watch};
use serde::Serialize;

use crate::Context;
use crate::args::RecipeArgs;
use crate::failure::usage;
use crate::output::write_atomic;
use crate::progress::{Meter, Progress, Unit};

/// Metrics worth a place beside the bar.
const SHOWN: [(&str, &str); 9] = [
    ("reward", "reward"),
    ("effective_fraction/before", "effective"),
    ("completions/mean_length", "length"),
    ("rewards/accuracies", "accuracy"),
    ("rewards/margins", "margin"),
    ("accuracy", "accuracy"),
    ("margin", "margin"),
    ("eval_accuracy", "held-out accuracy"),
    ("eval/accuracy", "held-out accuracy"),
];

/// The recipe that file and options make; errors are the user's to mend.
pub(super) fn settings<R: Recipe>(args: &RecipeArgs) -> Result<R> {
    recipes::config::load(args.config.as_deref(), &args.overrides).map_err(usage)
}

/// Writes the resolved settings into the folder of a run, which is made: one that cannot be written shows before the
/// work, not after it.
pub(super) fn keep_settings<R: Recipe>(config: &R, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    write_atomic(&folder.join("config.toml"), resolved(config)?.as_bytes())
}

/// What a dry run prints.
#[derive(Serialize)]
struct DryRun<'a, R, P> {
    config: &'a R,
    plan: P,
}

/// Prints the resolved settings and the plan.
pub(super) fn show_plan<R: Recipe, P: Serialize + Display>(
    config: &R,
    plan: P,
    context: &Context,
) -> Result<()> {
    let text = resolved(config)?;
    context.output.show(&DryRun { config, plan }, |run| format!("{text}\n{}", run.plan))
}

/// What a run left behind.
#[derive(Serialize)]
struct Outcome {
    output_dir: PathBuf,
    /// Steps taken in all.
    steps: u64,
    /// The best checkpoint where held-out data told which, else the newest.
    checkpoint: Option<PathBuf>,
    /// Of the last step.
    metrics: BTreeMap<String, f64>,
}

/// Shows a run to its user, and remembers how it ended.
#[derive(Clone)]
pub(crate) struct Spectator(Arc<Mutex<Seen>>);

/// What there was to see so far.
struct Seen {
    what: &'static str,
    progress: Progress,
    meter: Option<Meter>,
    steps: u64,
    message: String,
    checkpoint: Option<PathBuf>,
    metrics: BTreeMap<String, f64>,
}

impl Spectator {
    /// For a run called `what`.
    pub(crate) fn new(what: &'static str, progress: &Progress) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            what,
            progress: progress.clone(),
            meter: None,
            steps: 0,
            message: String::new(),
            checkpoint: None,
            metrics: BTreeMap::new(),
        })))
    }

    /// What the recipe calls.
    pub(crate) fn watch(&self) -> Watch {
        let (events, notices) = (self.clone(), self.clone());
        Watch {
            events: Box::new(move |event: &Event<'_>| events.seen().event(event)),
            notices: Box::new(move |notice: &Notice| notices.seen().notice(notice)),
        }
    }

    /// Ends the bar.
    pub(crate) fn finish(&self) {
        self.seen().meter.take().into_iter().for_each(Meter::finish);
    }

    /// The checkpoint that the run ended with: the best where held-out data told which, else the newest.
    pub(super) fn checkpoint(&self) -> Option<PathBuf> {
        let newest = self.seen().checkpoint.clone()?;
        let best = newest.with_file_name(BEST_FOLDER);
        Some(if best.is_dir() { best } else { newest })
    }

    /// Prints how the run ended.
    pub(super) fn conclude(&self, output_dir: PathBuf, context: &Context) -> Result<()> {
        self.finish();
        let checkpoint = self.checkpoint();
        let Seen { steps, metrics, .. } = &*self.seen();
        let outcome = Outcome { output_dir, steps: *steps, checkpoint, metrics: metrics.clone() };
        context.output.show(&outcome, |outcome| {
            let steps = format!("{}: {} steps", outcome.output_dir.display(), outcome.steps);
            let metrics: String = outcome
                .metrics
                .iter()
                .map(|(name, value)| format!("\n  {name} {value:.6}"))
                .collect();
            let place = outcome.checkpoint.as_ref().map(|path| path.display().to_string());
            match place {
                Some(place) => format!("{steps}, checkpoint {place}{metrics}"),
                None => format!("{steps}{metrics}"),
            }
        })
    }

    /// A panic elsewhere loses no more than a bar.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Resumed { step, max_steps, path } => {
                self.steps = *step;
                self.checkpoint = Some(path.to_path_buf());
                let text =
                    format!("{}: going on from {} ({step}/{max_steps})", self.what, path.display());
                self.progress.note(&text);
                let meter = self.meter();
                meter.set_total(*max_steps);
                meter.start_at(*step);
            }
            Event::SetAside { path, reason } => {
                self.progress.warn(&format!("{reason}; set aside as {}", path.display()));
            }
            Event::Step(report) => self.step(report),
            Event::Saved { path, .. } => self.checkpoint = Some(path.to_path_buf()),
        }
    }

    fn step(&mut self, report: &StepReport) {
        self.steps = report.step;
        self.metrics = report.all_metrics();
        self.message = format!("loss {:.4}", report.loss);
        for (name, label) in SHOWN {
            if let Some(value) = report.metrics.get(name) {
                self.message += &format!(", {label} {value:.2}");
            }
        }
        let message = self.message.clone();
        let meter = self.meter();
        meter.set_total(report.max_steps);
        meter.set(report.step, &message);
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::TooLong { count, max_length } => self.progress.warn(&format!(
                "{count} samples of more than max_length = {max_length} tokens are left out"
            )),
            Notice::TextOnly { count, of } => self.progress.warn(&format!(
                "{count} of {of} samples have no image and give the adapter no gradient"
            )),
            Notice::Encoding { done, total } => {
                let message = format!("encoding images {done}/{total}");
                self.meter().set(0, &message);
            }
            Notice::Encoded(counts) => {
                let rate = 100.0 * counts.hit_rate();
                let size = crate::output::bytes(counts.ram_bytes);
                self.progress
                    .note(&format!("vision features: {rate:.0} % cached, {size} in memory"));
                if let Some(error) = &counts.disk_error {
                    self.progress.warn(&format!("the feature cache is not on disk: {error}"));
                }
            }
            Notice::BadPairs { path, report } => {
                self.progress.warn(&format!("{}: {report}", path.display()));
            }
            Notice::Ties { path, count, min_score_gap } => self.progress.warn(&format!(
                "{}: {count} pairs whose scores differ by {min_score_gap} or less are left out",
                path.display()
            )),
            Notice::Reference { done, total } => self.within("reference log-probs", (*done, *total)),
            Notice::Best { step, metric, value, path } => self.progress.note(&format!(
                "step {step}: the best held-out {metric} so far, {value:.4}; kept as {}",
                path.display()
            )),
            Notice::EarlyStop { step, best } => self.progress.note(&format!(
                "stopped after step {step}: no checkpoint was better than that of step {best}"
            )),
            Notice::Sampled { done, total } => {
                let message = format!("prompts {done}/{total}");
                self.meter().set(0, &message);
            }
            Notice::Answered { done, total } => self.within("answers", (*done, *total)),
            Notice::Scored { done, total } => self.within("scores", (*done, *total)),
            Notice::Selected { round, num_samples, num_scored, num_misclassified, num_selected } => {
                self.progress.note(&format!(
                    "round {round}: {num_selected} of {num_samples} samples; {num_scored} score high enough, \
                     {num_misclassified} are answered wrongly"
                ));
            }
            Notice::Unscored { place, reason } => {
                self.progress.warn(&format!("{place}: no score: {reason}"));
            }
            Notice::Refused { place, reason } => {
                self.progress.warn(&format!("{place}: what has no score counts as the worst: {reason}"));
            }
            Notice::Redraw { num_rollouts } => self.progress.note(&format!(
                "after {num_rollouts} rollouts this step has too few groups of mixed outcomes; drawing again"
            )),
            Notice::Pool { path, kept, of } => self.progress.note(&format!(
                "{}: {kept} of {of} prompts are answered both right and wrong",
                path.display()
            )),
            Notice::Alarm { step, what, value, limit } => self.progress.warn(&format!(
                "step {step}: alarm {what}: {value:.4}, the limit is {limit:.4}"
            )),
            Notice::Stopped { step, what, value, limit } => self.progress.note(&format!(
                "stopped after step {step}: {what} is {value:.4}, the limit {limit}"
            )),
            Notice::Rollout { done, total } => {
                let (steps, message) =
                    (self.steps, format!("rollout {done}/{total}, {}", self.message));
                self.meter().set(steps, message.trim_end_matches(", "));
            }
        }
    }

    /// How far something is that belongs to a step.
    fn within(&mut self, what: &str, (done, total): (usize, usize)) {
        let (steps, message) = (self.steps, format!("{what} {done}/{total}"));
        self.meter().set(steps, &message);
    }

    fn meter(&mut self) -> &mut Meter {
        let Self { what, progress, meter, .. } = self;
        meter.get_or_insert_with(|| progress.meter(what, Unit::Items, None))
    }
}
