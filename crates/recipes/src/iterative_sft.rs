//! Iterative fine-tuning: each round learns from better samples, and from those that the last policy got wrong.
//!
//! ```text
//! stage-1:  all samples ──────────────────────────────────────────► sft ─► M_0 ─► held-out questions
//! round-t:  samples scored τ_t and more ∪ those M_{t-1} gets wrong ─► sft ─► M_t ─► held-out questions
//! choice:   by accuracy and reasoning ─► chosen/          top_scored.jsonl ─► GRPO
//! ```
//!
//! R1V (arXiv:2504.05599), section 2.2, first two stages; the third is `grpo` on `top_scored.jsonl`. The paper names
//! neither the model that scores nor its rubric: a [`Scorer`] does, from 0 to 5.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data::{Dataset, prompt_of};
use judge::{Decoding, Judge, Judging, Respond};
use reward::Scorer;
use rollout::Sampling;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::choice::{Candidate, Choice, Figures, choose};
use crate::config::{BatchConfig, ModelConfig, RunConfig};
use crate::journal::{Journal, Numbered};
use crate::run::{Watch, shaping_map, write_config};
use crate::sft::{SftConfig, train};

mod config;
mod scores;
mod answers;
mod selection;

use answers::{Answered, Asking, Trained};
pub use config::{AnswerConfig, IterativeSftConfig, Quality, RoundConfig, ScoreConfig};
use scores::{Grader, Item, mean_quality, scores};
use selection::Selection;

/// Name of the file of samples that reinforcement learns from.
pub const TOP_SCORED_FILE: &str = "top_scored.jsonl";

/// Name of the journal of finished stages.
const ROUNDS_FILE: &str = "rounds.jsonl";

/// Name of the journal of what stages learn from.
const DATASETS_FILE: &str = "datasets.jsonl";

/// Most tokens of a verdict, the judge's thought included.
const VERDICT_TOKENS: u32 = 1024;

/// What the recipe asks of its caller.
pub struct Callers<'a> {
    /// What scores samples, where no column does: from 0 to 5, or as `score_levels` or `score_quantiles` map it.
    pub scorer: Option<&'a mut dyn Scorer>,
    /// The model of a judge that scores by a rubric; rules score without either.
    pub judge: Option<&'a mut dyn Respond>,
    /// Makes the data set of a stage anew, with the policy as it then is; the data set stays as it is without.
    pub refresh: Option<&'a mut MakeAnew<'a>>,
    /// Asked for who watches each part.
    pub watch: &'a mut dyn FnMut() -> Watch,
}

/// Makes a data set anew and says where it is.
pub type MakeAnew<'a> = dyn FnMut(&Refresh<'_>) -> Result<PathBuf, Error> + 'a;

/// What a data set is made anew from.
pub struct Refresh<'a> {
    /// The policy at this point.
    pub model: &'a ModelConfig,
    /// The data set of the recipe.
    pub dataset: &'a Path,
    /// A folder for what is made.
    pub output_dir: PathBuf,
    /// A folder for what was asked and paid: that of all stages, so that none asks again, and budgets are the run's.
    pub shared_dir: PathBuf,
    /// The recipe's seed: under another a judge would be asked anew.
    pub seed: u64,
}

/// What a stage learns from, entered as soon as it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    round: usize,
    /// The data set.
    dataset: PathBuf,
    /// What is in it.
    identity: String,
    /// What a round has chosen of it; the first stage learns from all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selected: Option<PathBuf>,
}

impl Numbered for Begun {
    fn number(&self) -> usize {
        self.round
    }
}

impl Begun {
    /// Fails unless the data set holds what it did.
    fn check(&self, dataset: &Dataset) -> Result<(), Error> {
        match identity(dataset) == self.identity {
            true => Ok(()),
            false => Err(Error::Changed {
                checkpoint: self.dataset.clone(),
                differences: format!("{} began with other samples", name(self.round)),
            }),
        }
    }
}

/// A finished stage: the first one has number 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Round {
    round: usize,
    /// Its data set.
    dataset: PathBuf,
    /// Its checkpoint, below the output folder.
    checkpoint: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

impl Numbered for Round {
    fn number(&self) -> usize {
        self.round
    }
}

/// Trains all rounds, measures each, and chooses; goes on where an earlier call was interrupted. The choice, a copy of
/// the chosen checkpoint and the samples for reinforcement are in the output folder.
///
/// # Errors
/// Bad settings, data or model files; a sample without a score; a round that nothing is left for; files that cannot be
/// written.
pub fn iterative_sft<'a>(
    config: &'a IterativeSftConfig,
    callers: Callers<'a>,
) -> Result<Choice, Error> {
    let folder = &config.run.output_dir;
    let settings = shaping_map(config)?;
    let rounds: Journal<Round> = Journal::open(&folder.join(ROUNDS_FILE), &settings)?;
    if config.run.resume_from_checkpoint == "never" && !rounds.entries.is_empty() {
        return Err(Error::Contradiction {
            first: "resume_from_checkpoint = \"never\"".to_owned(),
            second: format!("{} finished stages in output_dir", rounds.entries.len()),
            why: "stages of two runs would mix; choose another folder",
        });
    }
    let begun = Journal::open(&folder.join(DATASETS_FILE), &settings)?;
    write_config(config, folder)?;
    let model = config.model.with_shared_features(folder)?;
    let mut course = Course { config, callers, rounds, begun, model, trained: None };
    for round in 0..=config.rounds.num_rounds {
        if !course.rounds.entries.contains_key(&round) {
            let finished = course.round(round)?;
            course.rounds.add(finished)?;
        }
        course.go_on_from(round);
    }
    course.finish()
}

/// Rounds under way.
struct Course<'a> {
    config: &'a IterativeSftConfig,
    callers: Callers<'a>,
    rounds: Journal<Round>,
    begun: Journal<Begun>,
    /// The policy as it is.
    model: ModelConfig,
    /// The same in memory, if it has been trained by this call.
    trained: Option<Trained>,
}

impl IterativeSftConfig {
    /// The supervised fine-tuning of the first stage, on all samples.
    pub fn first_stage(&self) -> SftConfig {
        self.stage(0, &self.model, &self.run.dataset)
    }

    /// What the data set of the first stage is made anew from, where it is.
    pub fn first_refresh(&self) -> Refresh<'_> {
        self.refresh(0, &self.model)
    }

    fn refresh<'a>(&'a self, round: usize, model: &'a ModelConfig) -> Refresh<'a> {
        Refresh {
            model,
            dataset: &self.run.dataset,
            output_dir: self.run.output_dir.join(name(round)).join("data"),
            shared_dir: self.run.output_dir.join("distill"),
            seed: self.run.seed,
        }
    }

    /// The supervised fine-tuning of one stage, 0 being the first: its data, and where it starts from.
    pub fn stage(&self, round: usize, model: &ModelConfig, dataset: &Path) -> SftConfig {
        let RunConfig { output_dir, seed, resume_from_checkpoint, .. } = self.run.clone();
        let (mut optimizer, mut batch) = (self.optimizer.clone(), self.batch.clone());
        if round > 0 {
            optimizer.learning_rate = self.rounds.learning_rate(round);
            batch = BatchConfig {
                max_steps: self.rounds.round_max_steps,
                num_train_epochs: self.rounds.round_num_train_epochs,
                ..batch
            };
        }
        SftConfig {
            model: model.clone(),
            run: RunConfig {
                dataset: dataset.to_owned(),
                output_dir: output_dir.join(name(round)).join("sft"),
                // Another round draws another order.
                seed: seed.wrapping_add(round as u64),
                resume_from_checkpoint,
            },
            checkpoint: self.checkpoint.clone(),
            optimizer,
            rate: self.rate.clone(),
            batch,
            samples: self.samples.clone(),
        }
    }
}

/// What a stage is called.
fn name(round: usize) -> String {
    match round {
        0 => "stage-1".to_owned(),
        round => format!("round-{round}"),
    }
}

impl Course<'_> {
    fn output_dir(&self) -> &Path {
        &self.config.run.output_dir
    }

    /// One stage: its data, its training, its figures.
    fn round(&mut self, round: usize) -> Result<Round, Error> {
        let Begun { dataset, selected, .. } = self.begin(round)?;
        let selected = selected.unwrap_or_else(|| dataset.clone());
        self.trained = None;
        let stage = self.config.stage(round, &self.model, &selected);
        let (policy, step) = train(&stage, (self.callers.watch)())?;
        let checkpoint = stage.run.output_dir.join(format!("checkpoint-{step}"));
        self.trained = Some(Trained {
            model: ModelConfig { adapter_name_or_path: Some(checkpoint.clone()), ..stage.model },
            run: stage.run,
            policy: Some(policy),
        });
        let figures = self.measure(round)?;
        let inside = checkpoint.strip_prefix(self.output_dir());
        let checkpoint = inside.map_or(checkpoint.clone(), Path::to_owned);
        Ok(Round { round, dataset, checkpoint, figures })
    }

    /// The policy of a finished stage is where the next one begins.
    fn go_on_from(&mut self, round: usize) {
        let checkpoint = self.output_dir().join(&self.rounds.entries[&round].checkpoint);
        self.model.adapter_name_or_path = Some(checkpoint);
    }

    /// What a stage learns from. It is decided once: a stage that is taken up again goes on with the same files.
    fn begin(&mut self, round: usize) -> Result<Begun, Error> {
        let (begun, dataset) = self.dataset(round)?;
        if round == 0 || begun.selected.is_some() {
            return Ok(begun);
        }
        let selected = Some(self.select(round, &dataset)?);
        let begun = Begun { selected, ..begun };
        self.begun.add(begun.clone())?;
        Ok(begun)
    }

    /// The data set of a stage, as it was if the stage has begun.
    fn dataset(&mut self, round: usize) -> Result<(Begun, Dataset), Error> {
        if let Some(begun) = self.begun.entries.get(&round) {
            let dataset = Dataset::read(&begun.dataset)?;
            begun.check(&dataset)?;
            return Ok((begun.clone(), dataset));
        }
        let path = self.new_dataset(round)?;
        let dataset = Dataset::read(&path)?;
        let identity = identity(&dataset);
        let begun = Begun { round, dataset: path, identity, selected: None };
        self.begun.add(begun.clone())?;
        Ok((begun, dataset))
    }

    /// The recipe's data set, or one made anew.
    fn new_dataset(&mut self, round: usize) -> Result<PathBuf, Error> {
        let dataset = &self.config.run.dataset;
        let Some(refresh) = &mut self.callers.refresh else { return Ok(dataset.clone()) };
        // Whoever makes it may need the memory.
        self.trained.iter_mut().for_each(|trained| trained.policy = None);
        refresh(&self.config.refresh(round, &self.model))
    }

    /// Writes what a round learns from: samples that score high enough, and those that the policy gets wrong.
    fn select(&mut self, round: usize, dataset: &Dataset) -> Result<PathBuf, Error> {
        let all = self.all(round, dataset)?;
        let all = all.as_ref().unwrap_or(dataset);
        let wrong = self.misclassified(round, all)?;
        let mut scores = self.scores(dataset)?;
        scores.resize(all.samples.len(), None);
        let threshold = self.config.rounds.threshold(round);
        let selection = Selection { dataset: all, scores: &scores, wrong: &wrong, threshold };
        let Watch { mut notices, .. } = (self.callers.watch)();
        notices(&selection.notice(round));
        let path = self.output_dir().join(name(round)).join("train.jsonl");
        selection.write(&path)?;
        Ok(path)
    }

    /// D, where the data set was made anew from it: the data set, then what is left out of it. Mistakes are looked for in
    /// all of D, and one that is left out is learned with the response it came with.
    fn all(&self, round: usize, dataset: &Dataset) -> Result<Option<Dataset>, Error> {
        if self.callers.refresh.is_none() {
            return Ok(None);
        }
        let path = self.output_dir().join(name(round)).join("all.jsonl");
        selection::write_all(&path, dataset, &Dataset::read(&self.config.run.dataset)?)?;
        Ok(Some(Dataset::read(&path)?))
    }

    /// Which samples the policy answers wrongly, of those whose answer is known.
    fn misclassified(&mut self, round: usize, dataset: &Dataset) -> Result<BTreeSet<usize>, Error> {
        let (seed, answers) = (self.config.run.seed, &self.config.answers);
        let sampling = Sampling::at_temperature(answers.temperature, seed);
        let asking = self.asking(name(round), "answers.jsonl", sampling, dataset, usize::MAX);
        let answers = self.answers(&asking, dataset)?;
        let wrong = answers.into_iter().filter(|answered| !answered.correct);
        Ok(wrong.map(|answered| answered.sample).collect())
    }

    fn asking(
        &self,
        stage: String,
        file: &str,
        sampling: Sampling,
        dataset: &Dataset,
        limit: usize,
    ) -> Asking {
        let max_completion_length = self.config.answers.max_completion_length;
        let settings = json!({
            "dataset": identity(dataset),
            "sampling": sampling,
            "max_completion_length": max_completion_length,
        });
        Asking {
            settings: match settings {
                Value::Object(map) => map,
                _ => Map::new(),
            },
            journal: self.output_dir().join(stage).join(file),
            sampling,
            max_completion_length,
            limit,
        }
    }

    fn answers(&mut self, asking: &Asking, dataset: &Dataset) -> Result<Vec<Answered>, Error> {
        let Watch { mut notices, .. } = (self.callers.watch)();
        let (model, run) = (self.model.clone(), self.config.run.clone());
        let trained = self.trained.get_or_insert_with(|| Trained { model, run, policy: None });
        asking.answers(dataset, trained, &mut notices)
    }

    /// Scores from 0 to 5 of the samples of a data set; asked once for each content.
    fn scores(&mut self, dataset: &Dataset) -> Result<Vec<Option<f64>>, Error> {
        let journal = format!("scores-{}.jsonl", identity(dataset));
        let journal = self.output_dir().join(journal);
        let Watch { mut notices, .. } = (self.callers.watch)();
        let (config, seed) = (&self.config.scores, self.config.run.seed);
        let mut grader = grader(&mut self.callers, seed);
        scores(config, dataset, &journal, &mut grader, &mut notices)
    }

    /// How the policy does on the held-out questions, if there are any.
    fn measure(&mut self, round: usize) -> Result<Option<Figures>, Error> {
        let answers = &self.config.answers;
        let Some(path) = &answers.eval_dataset else { return Ok(None) };
        let dataset = Dataset::read(path)?;
        let sampling = Sampling::at_temperature(answers.eval_temperature, self.config.run.seed);
        let limit = answers.eval_limit.unwrap_or(usize::MAX);
        let (quality, max_repetition) = (answers.quality, answers.max_repetition);
        let asking = self.asking(name(round), "held_out.jsonl", sampling, &dataset, limit);
        let answered = self.answers(&asking, &dataset)?;
        if answered.is_empty() {
            return Err(Error::NoAnswer { place: path.display().to_string() });
        }
        let looks: Vec<_> = answered.iter().map(|answer| answer.look(max_repetition)).collect();
        let mut figures = Figures::of(answered.len(), &looks);
        if quality == Quality::Scores {
            figures.quality = self.judged(&dataset, &answered)?;
        }
        Ok(Some(figures))
    }

    /// The mean score of completions, over 5.
    fn judged(&mut self, dataset: &Dataset, answered: &[Answered]) -> Result<f64, Error> {
        let item = |answer: &Answered| Item {
            number: answer.sample,
            prompt: prompt_of(&dataset.samples[answer.sample]),
            response: answer.completion.clone(),
        };
        let items: Vec<Item> = answered.iter().map(item).collect();
        let Watch { mut notices, .. } = (self.callers.watch)();
        let (config, seed) = (&self.config.scores, self.config.run.seed);
        let mut grader = grader(&mut self.callers, seed);
        mean_quality(config, dataset, &items, &mut grader, &mut notices)
    }

    /// Writes the samples for reinforcement, chooses among the stages, and keeps a copy of the best.
    fn finish(mut self) -> Result<Choice, Error> {
        let last = &self.rounds.entries[&self.config.rounds.num_rounds];
        let dataset = Dataset::read(&last.dataset)?;
        if self.config.rounds.num_rounds > 0 {
            self.export(&dataset)?;
        }
        let candidate = |round: &Round| Candidate {
            name: name(round.round),
            checkpoint: self.output_dir().join(&round.checkpoint),
            figures: round.figures,
        };
        let candidates = self.rounds.entries.values().map(candidate).collect();
        let choice = choose(candidates, self.config.answers.accuracy_tolerance);
        let choice = choice.ok_or_else(|| Error::Empty { path: self.output_dir().to_owned() })?;
        choice.write(self.output_dir())?;
        Ok(choice)
    }

    /// Writes the samples of the highest score whose answer is known: reinforcement needs it.
    fn export(&mut self, dataset: &Dataset) -> Result<(), Error> {
        let scores = self.scores(dataset)?;
        let path = self.output_dir().join(TOP_SCORED_FILE);
        selection::write_top(&path, dataset, &scores, self.config.rounds.top_score)
    }
}

/// Who scores: a reward model, a judge, or rules.
fn grader<'a>(callers: &'a mut Callers<'_>, seed: u64) -> Grader<'a> {
    match (&mut callers.scorer, &mut callers.judge) {
        (Some(scorer), _) => Grader::Scorer(&mut **scorer),
        (None, Some(model)) => {
            let decoding = Decoding::greedy(VERDICT_TOKENS, seed);
            Grader::Judge(Judge::Model(Judging { model: &mut **model, decoding }))
        }
        (None, None) => Grader::Judge(Judge::Rules),
    }
}

/// Names a data set by what is in it.
fn identity(dataset: &Dataset) -> String {
    let text = serde_json::to_string(&dataset.samples).expect("samples were JSON before");
    engine::config_hash(&text)
}
