//! Mixed preference optimisation: of two responses to one prompt, the better one.
//!
//! ```text
//! pairs ─► tokens ─► log π_0, once ─┐
//!            └─► packs ─► log π_θ ──┴─► loss::mpo ─► engine        δ moves before each loss
//!                                          held-out pairs ─► best checkpoint, early stop
//! ```
//!
//! R1V2 (arXiv:2504.16656), section 3.2, with the values of MPO (arXiv:2411.10442). The reference `π_0` is the
//! policy that the run began with, whatever a resume starts from. Departs from InternVL's trainer in that held-out
//! pairs do not move δ, and that `L_gen` is equation 5 at any size of a micro-batch.

use data::Order;
use engine::{Engine, Parameters, Run, TaskState};
use loss::RewardShift;
use serde_json::json;

use crate::Error;
pub use crate::best::BEST_FOLDER;
use crate::best::{Standing, keep_best};
use crate::identity::Identity;
use crate::policy::Policy;
use crate::run::{Notice, Watch, position, start, state};

mod config;
mod pairs;
mod reference;
mod task;
mod validation;
mod rounds;
#[cfg(test)]
mod tests;

pub use config::{
    BadPairs, BestMetric, MpoConfig, PairConfig, PreferenceConfig, PreferenceLoss, ValidationConfig,
};
use pairs::Pairs;
pub(crate) use pairs::report_left_out;
use reference::reference;
pub use rounds::{RoundsConfig, rounds};
use task::MpoTask;
use validation::Validation;

/// Trains until the last step, or until held-out pairs say so; returns the policy with its last
/// parameters. A run that has ended returns at once.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; a checkpoint of other pairs, or one that cannot be written.
pub fn mpo(config: &MpoConfig, watch: Watch) -> Result<Policy, Error> {
    train(config, watch).map(|(policy, _)| policy)
}

/// The policy at its end, and the steps taken.
fn train(config: &MpoConfig, watch: Watch) -> Result<(Policy, u64), Error> {
    let Watch { events, mut notices } = watch;
    let policy = Policy::load(&config.model, &config.run)?;
    let pairs = Pairs::read(&config.run.dataset, &config.pairs, &policy, &mut notices)?;
    let held_out = config.validation.eval_dataset.as_deref();
    let held_out = held_out.map(|path| Pairs::read(path, &config.pairs, &policy, &mut notices));
    let held_out = held_out.transpose()?;
    let engine = config.rate.engine(&config.optimizer, config.num_steps(pairs.len()));
    let initial = policy.parameters()?;
    let engine = Engine::new(initial.clone(), engine)?;
    let mut task = MpoTask::new(config, policy, &pairs);
    let (run, resumed) = start(config, engine, &mut task, events)?;
    let mut course = Course::new(config, (&pairs, held_out.as_ref()), run, notices);
    if let Some(saved) = resumed {
        course.restore(&saved, &mut task)?;
    }
    if !course.is_finished() {
        course.prepare(&initial, &mut task)?;
    }
    while !course.is_finished() {
        course.step(&mut task)?;
    }
    Ok((task.policy, course.run.engine().steps_taken()))
}

/// A run under way: where it is in its data, and how it does on held-out pairs.
struct Course<'a> {
    config: &'a MpoConfig,
    run: Run,
    order: Order,
    identity: Identity,
    validation: Option<Validation<'a>>,
    notices: Box<dyn FnMut(&Notice)>,
}

impl<'a> Course<'a> {
    fn new(
        config: &'a MpoConfig,
        (pairs, held_out): (&Pairs, Option<&'a Pairs>),
        run: Run,
        notices: Box<dyn FnMut(&Notice)>,
    ) -> Self {
        let validation = held_out.map(|pairs| Validation {
            pairs,
            references: vec![],
            config: &config.validation,
            standing: Standing::default(),
        });
        let order = Order::shuffled(pairs.len(), config.run.seed);
        Self { config, run, order, identity: pairs.identity(), validation, notices }
    }

    fn is_finished(&self) -> bool {
        self.run.is_finished() || self.validation.as_ref().is_some_and(Validation::is_over)
    }

    /// Encodes images, and sees to the reference log-probs: those of the policy the run began with.
    fn prepare(&mut self, initial: &Parameters, task: &mut MpoTask<'_>) -> Result<(), Error> {
        let (folder, notices) = (&self.config.run.output_dir, &mut self.notices);
        let current = task.policy.parameters()?;
        task.policy.publish(initial);
        task.pairs.encode(&mut task.policy, notices)?;
        task.references = reference(&mut task.policy, task.pairs, folder, notices)?;
        if let Some(validation) = &mut self.validation {
            validation.pairs.encode(&mut task.policy, notices)?;
            validation.references = reference(&mut task.policy, validation.pairs, folder, notices)?;
        }
        task.policy.publish(&current);
        Ok(())
    }

    /// One update, what is logged about it, and the checkpoint when one is due.
    fn step(&mut self, task: &mut MpoTask<'_>) -> Result<(), Error> {
        let batches = self.draw();
        let mut report = self.run.step(task, &batches)?;
        let epoch = self.order.position() as f64 / task.pairs.len() as f64;
        let values = [("reward_shift", task.shift.mean), ("epoch", epoch)];
        report.metrics.extend(values.map(|(name, value)| (name.to_owned(), value)));
        let is_checkpoint = self.config.is_checkpoint(report.step, report.max_steps);
        if let Some(validation) = self.validation.as_mut().filter(|_| is_checkpoint) {
            report.metrics.extend(validation.measure(task, report.step)?);
        }
        let saved = self.save(task);
        self.run.record(&report, || saved)?;
        if is_checkpoint { self.keep_best() } else { Ok(()) }
    }

    /// The micro-batches of the next step.
    fn draw(&mut self) -> Vec<Vec<usize>> {
        let batch = &self.config.batch;
        let order = &mut self.order;
        let mut micro = || order.by_ref().take(batch.per_device_train_batch_size).collect();
        (0..batch.gradient_accumulation_steps).map(|_| micro()).collect()
    }

    fn save(&self, task: &MpoTask<'_>) -> TaskState {
        let RewardShift { num_updates, mean } = task.shift;
        let mut saved = state(&task.policy, self.order.position(), vec![]);
        self.identity.save(&mut saved);
        saved.value["reward_shift"] = json!({"num_updates": num_updates, "mean": mean});
        if let Some(validation) = &self.validation {
            saved.value["validation"] = json!(validation.standing);
        }
        saved
    }

    fn restore(&mut self, saved: &TaskState, task: &mut MpoTask<'_>) -> Result<(), Error> {
        self.identity.check(&self.run, saved)?;
        self.order.seek(position(saved)?);
        let shift = &saved.value["reward_shift"];
        let mean = shift["mean"].as_f64();
        let (Some(num_updates), Some(mean)) = (shift["num_updates"].as_u64(), mean) else {
            let reason = format!("{shift} instead of its mean and number of updates");
            return Err(Error::State { what: "reward shift", reason });
        };
        task.shift = RewardShift { num_updates, mean };
        if let Some(validation) = &mut self.validation {
            let standing = serde_json::from_value(saved.value["validation"].clone());
            validation.standing = standing.map_err(|error| Error::State {
                what: "standing on held-out pairs",
                reason: error.to_string(),
            })?;
        }
        self.keep_best()
    }

    /// Sees to it that `best` is the best checkpoint so far.
    fn keep_best(&mut self) -> Result<(), Error> {
        let Some(validation) = &self.validation else { return Ok(()) };
        let Standing { best: Some(best), num_since } = validation.standing else { return Ok(()) };
        let metric = self.config.validation.metric_for_best_model.name();
        if num_since == 0
            && let Some(path) = keep_best(&self.config.run.output_dir, best.step)?
        {
            (self.notices)(&Notice::Best { step: best.step, metric, value: best.value, path });
        }
        if validation.is_over() {
            (self.notices)(&Notice::EarlyStop {
                step: self.run.engine().steps_taken(),
                best: best.step,
            });
        }
        Ok(())
    }
}
