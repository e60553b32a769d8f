//! A reward model: the chosen response of a pair should score higher than the rejected one.
//!
//! ```text
//! pairs ─► judged trees ─► packs ─► vlm ─► value head ─► loss::bradley_terry ─► engine
//!          (chosen and rejected share their prompt)
//!
//! stage 1: multimodal pairs ──► stage 2: the same and text pairs, at a lower rate
//! ```
//!
//! Skywork-VL Reward (arXiv:2505.07263), section 3.3. The encoder is frozen; adapter, language model or
//! low-rank terms, and the value head train. Each stage is a run of its own, with its own warm-up and
//! moments, that begins with what the one before ended with.

use data::Order;
use engine::{Counts, Engine, Parameters, StepLoss, Task, TaskError};
use loss::bradley_terry;
use model::pack::Valued;
use model::reward_model::RewardModel;
use model::value_head::ValueHead;
use model::vlm::Images;
use preprocess::{Judged, ModelImage, Processor};
use rollout::{Candidates, JudgedPass};
use tensor::{Gradients, Tensor};

use crate::Error;
use crate::policy::{Policy, load_trained_head};
use crate::run::{Notice, Watch, engine_counts, loss_counts, position, start, state};

mod config;
mod pairs;
mod held_out;

pub use config::{LossTokens, PairConfig, RewardConfig, StageConfig};
use pairs::{JudgedPair, Pairs, identity};

/// A reward model under training, or as training left it.
pub struct Judging {
    /// The model that reads, with what it reads.
    pub policy: Policy,
    /// The head that judges.
    pub head: ValueHead,
}

/// Trains stage after stage; returns the model with its last parameters. Stages that have taken all
/// their steps are passed over. `watch` is asked for once a stage.
///
/// # Errors
/// Bad settings, data or model files; a non-finite loss; a checkpoint of other pairs, or one that cannot be written.
pub fn reward_model(config: &RewardConfig, watch: impl Fn() -> Watch) -> Result<Judging, Error> {
    if !config.has_two_stages() {
        return Ok(train(config, watch())?.0);
    }
    let first = config.first();
    let (_, last) = train(&first, watch())?;
    let begin_with = first.run.output_dir.join(format!("checkpoint-{last}"));
    Ok(train(&config.second(begin_with), watch())?.0)
}

/// The pairs that one stage trains on, as the model reads them: what a plan counts before weights load.
///
/// # Errors
/// Data that cannot be read, or holds no usable pair to train on, or to measure where that was asked for.
pub fn training_pairs(
    config: &RewardConfig,
    processor: &Processor,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<Judged>, Error> {
    let pairs = Pairs::read(config, (processor, &|_| false), notices)?.train;
    Ok(pairs.into_iter().map(|pair| pair.judged).collect())
}

/// Trains one stage; the model, and the number of the last step.
fn train(config: &RewardConfig, watch: Watch) -> Result<(Judging, u64), Error> {
    let Watch { events, mut notices } = watch;
    let judging = Judging::load(config)?;
    let is_new = |image: &ModelImage| !judging.policy.has_features(image);
    let shown = (&judging.policy.processor, &is_new as &dyn Fn(&ModelImage) -> bool);
    let Pairs { train, held_out } = Pairs::read(config, shown, &mut notices)?;
    let identity = identity(&train);
    let mut task = RewardTask { judging, pairs: train, loss_tokens: config.pairs.loss_tokens };
    let last = config.num_steps(task.pairs.len());
    let engine = config.rate.engine(&config.optimizer, last);
    let engine = Engine::new(task.judging.parameters()?, engine)?;
    let (mut run, resumed) = start(config, engine, &mut task, events)?;
    let mut order = Order::shuffled(task.pairs.len(), config.run.seed);
    if let Some(saved) = resumed {
        identity.check(&run, &saved)?;
        order.seek(position(&saved)?);
    }
    if run.is_finished() {
        return Ok((task.judging, last));
    }
    let all = task.pairs.iter().chain(&held_out);
    let all: Vec<_> = all.map(|pair| (pair.place.as_str(), &pair.judged.images[..])).collect();
    task.judging.policy.encode_all(all.into_iter(), &mut notices)?;
    while !run.is_finished() {
        let mut report = run.step(&mut task, &micro_batches(&mut order, config))?;
        report.metrics.insert("epoch".to_owned(), epoch(&order, task.pairs.len()));
        if config.pairs.is_due(report.step, last) {
            report.metrics.extend(held_out::measure(&mut task.judging, &held_out)?);
        }
        run.record(&report, || {
            let mut saved = state(&task.judging.policy, order.position(), vec![]);
            identity.save(&mut saved);
            saved
        })?;
    }
    Ok((task.judging, last))
}

/// Passes over the pairs so far.
fn epoch(order: &Order, num_pairs: usize) -> f64 {
    order.position() as f64 / num_pairs as f64
}

/// The pairs, as indices, of one step.
fn micro_batches(order: &mut Order, config: &RewardConfig) -> Vec<Vec<usize>> {
    let size = config.batch.per_device_train_batch_size;
    let mut micro = || order.by_ref().take(size).collect();
    (0..config.batch.gradient_accumulation_steps).map(|_| micro()).collect()
}

impl Judging {
    /// Loads a reward model, or grows a head on a model that has none, and takes over a checkpoint.
    ///
    /// # Errors
    /// A folder that is incomplete or does not fit together, or settings that disagree.
    pub fn load(config: &RewardConfig) -> Result<Self, Error> {
        let (folder, dtype) = (&config.model.model_name_or_path, config.model.dtype.into());
        let RewardModel { vlm, mut head } = RewardModel::grow(folder, dtype, config.run.seed)?;
        let policy = Policy::with(vlm, &config.model, &config.run, |vlm, path| {
            load_trained_head(vlm, &mut head, path)
        })?;
        Ok(Self { policy, head })
    }

    fn parameters(&self) -> Result<Parameters, Error> {
        let Self { policy, head } = self;
        let parameters = head.parameters_with(&policy.vlm, policy.trainable);
        Ok(Parameters::new(parameters.into_iter().map(|p| (p.name, p.shape, p.values)))?)
    }

    /// A pair with the features of its images.
    fn candidates(&mut self, pair: &JudgedPair) -> Result<Candidates, Error> {
        let features = self.policy.features(&pair.judged.images)?;
        Ok(Candidates { judged: pair.judged.clone(), features })
    }
}

/// The algorithm: pairs in, the gradient of their ranking loss out.
struct RewardTask {
    judging: Judging,
    pairs: Vec<JudgedPair>,
    loss_tokens: LossTokens,
}

impl Task for RewardTask {
    type Batch = Vec<usize>;

    fn count(&self, batch: &Vec<usize>) -> Counts {
        let pairs: loss::Counts = batch.iter().map(|_| loss::Counts::pair()).sum();
        let tokens = batch.iter().map(|&index| self.pairs[index].judged.num_rows() as u64).sum();
        Counts { tokens, ..engine_counts(pairs) }
    }

    fn samples(&self, batch: &Vec<usize>) -> Vec<String> {
        batch.iter().map(|&index| self.pairs[index].place.clone()).collect()
    }

    fn forward_backward(
        &mut self,
        batch: &Vec<usize>,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let mut pass = JudgedPass::of(self.loss_tokens.valued());
        let mut lengths = Vec::with_capacity(batch.len());
        for (owner, &index) in batch.iter().enumerate() {
            let pair = self.judging.candidates(&self.pairs[index])?;
            pass.push(&pair, owner, &pair.judged.branches);
            lengths.push([0, 1].map(|branch| pair.judged.branches[branch].len()));
        }
        let features = pass.features();
        let images = features.as_ref().map_or(Images::None, Images::Features);
        let mut ranking = Ranking { totals: loss_counts(totals), loss: StepLoss::default() };
        let lengths = self.loss_tokens.lengths(lengths);
        let Judging { policy, head } = &self.judging;
        let reader = (&policy.vlm, policy.pass(1.0).keep);
        let slopes = |values: &[f32]| ranking.slopes(values, &lengths);
        head.forward_backward(reader, (&pass.pack, images), slopes, gradients)?;
        ranking.loss.value = ranking.loss.sample_values.iter().sum();
        Ok(ranking.loss)
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        let Judging { policy, head } = &mut self.judging;
        policy.publish(parameters);
        head.set_parameters(|name| parameters.get(name).map(Tensor::as_slice));
        Ok(())
    }
}

impl LossTokens {
    /// The rows of a response that have a value in training.
    fn valued(self) -> Valued {
        match self {
            Self::Last => Valued::Last,
            Self::All => Valued::All,
        }
    }

    /// How many values the responses of each pair have, given how many tokens.
    fn lengths(self, tokens: Vec<[usize; 2]>) -> Vec<[usize; 2]> {
        match self {
            Self::Last => vec![[1, 1]; tokens.len()],
            Self::All => tokens,
        }
    }
}

/// The loss of one micro-batch: from the values of each pair, the chosen response's and then the rejected
/// one's, to their slopes.
struct Ranking {
    totals: loss::Counts,
    loss: StepLoss,
}

impl Ranking {
    fn slopes(&mut self, values: &[f32], lengths: &[[usize; 2]]) -> Vec<f32> {
        let mut slopes = vec![0.0; values.len()];
        let mut first = 0;
        for &[chosen, rejected] in lengths {
            let pair = first..first + chosen + rejected;
            first = pair.end;
            self.compare(&values[pair.clone()], chosen, &mut slopes[pair]);
        }
        slopes
    }

    /// One pair: values of the chosen response's tokens, then of the rejected one's. Half of the loss is the mean over
    /// the tokens that both have, half that of the last ones; where each has one it is the same.
    fn compare(&mut self, values: &[f32], num_chosen: usize, slopes: &mut [f32]) {
        let num_rejected = values.len() - num_chosen;
        let last = [num_chosen - 1, values.len() - 1];
        let [chosen, rejected] = last.map(|at| f64::from(values[at]));
        let both = num_chosen.min(num_rejected);
        let along = (0..both).map(|at| ([at, num_chosen + at], 0.5 / both as f64));
        let mut value = 0.0;
        for (at, weight) in along.chain([(last, 0.5)]) {
            let [up, down] = at.map(|at| f64::from(values[at]));
            let term = self.totals.mean(bradley_terry(up, down));
            value += weight * term.value;
            slopes[at[0]] += (weight * term.chosen) as f32;
            slopes[at[1]] += (weight * term.rejected) as f32;
        }
        self.loss.sample_values.push(value);
        self.log("accuracy", f64::from(u8::from(chosen > rejected)));
        self.log("margin", chosen - rejected);
        self.log("mean_reward", f64::midpoint(chosen, rejected));
    }

    /// Adds a pair's share of a mean over the step's pairs, under TRL's name.
    fn log(&mut self, name: &str, value: f64) {
        let share = value / self.totals.pairs.max(1) as f64;
        *self.loss.metrics.entry(name.to_owned()).or_insert(0.0) += share;
    }
}

#[cfg(test)]
mod tests {
    use testkit::check_gradient;

    use super::*;

    /// Chosen responses of two tokens and one, rejected ones of three and four.
    const LENGTHS: [[usize; 2]; 2] = [[2, 3], [1, 4]];
    const VALUES: [f64; 10] = [0.5, -1.25, 2.0, 0.25, -0.75, 1.5, 0.125, -2.0, 0.5, 3.0];

    fn ranked(values: &[f64], lengths: &[[usize; 2]]) -> (f64, Vec<f64>) {
        let totals = loss::Counts { pairs: lengths.len() as u64, ..loss::Counts::default() };
        let mut ranking = Ranking { totals, loss: StepLoss::default() };
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        let slopes = ranking.slopes(&values, lengths);
        let value = ranking.loss.sample_values.iter().sum();
        (value, slopes.into_iter().map(f64::from).collect())
    }

    #[test]
    fn all_tokens_are_half_of_the_loss() {
        let (value, slopes) = ranked(&VALUES, &LENGTHS);
        let term = |up: usize, down: usize| bradley_terry(VALUES[up], VALUES[down]).value;
        let first = 0.5 * term(1, 4) + 0.25 * (term(0, 2) + term(1, 3));
        let second = 0.5 * term(5, 9) + 0.5 * term(5, 6);
        assert!((value - f64::midpoint(first, second)).abs() < 1e-12);
        check_gradient(|values| ranked(values, &LENGTHS).0, &VALUES, &slopes, 1.0 / 4096.0, 1e-6);
    }

    #[test]
    fn the_last_token_alone_is_the_papers_loss() {
        let (value, slopes) = ranked(&[1.5, -0.25], &[[1, 1]]);
        let term = bradley_terry(1.5, -0.25);
        assert!((value - term.value).abs() < 1e-12);
        assert!((slopes[0] - term.chosen).abs() < 1e-7 && (slopes[1] - term.rejected).abs() < 1e-7);
    }
}
