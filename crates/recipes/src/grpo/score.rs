//! From completions to rewards, and from rewards to advantages.
//!
//! ```text
//!             ┌ rule, format ─────────────── reward::verify, format ┐
//! completions ┼ model, custom ────────────── from outside           ├─► components ─► aggregation ─► Â
//!             └ repetition, overlong ─────── shaping                ┘
//! ```

use advantage::{Scale, group_relative, normalized_sum, scale_by_batch};
use reward::{
    Asked, ScoreError, Scorer, bounded, combine, format_reward, repetition_reward, soft_overlong,
};
use schema::Completion;

use super::GrpoConfig;
use super::config::{Aggregation, EPSILON, ScaleRewards};
use super::draw::Drawn;
use super::flight::Flight;
use super::group::{Group, REPETITION_LENGTH, Scored};
use super::questions::Questions;
use crate::Error;
use crate::run::Notice;

/// Who gives the rewards that are not computed here.
#[derive(Default)]
pub struct Scorers<'a> {
    /// What `reward_model` names.
    pub model: Option<&'a mut dyn Scorer>,
    /// What `custom_reward` names.
    pub custom: Option<&'a mut dyn Scorer>,
}

/// From completions to rewards and advantages.
pub(super) struct Scoring<'a, 's> {
    config: &'a GrpoConfig,
    questions: &'a Questions,
    scorers: Scorers<'s>,
}

impl<'a, 's> Scoring<'a, 's> {
    /// # Errors
    /// When a scorer is missing that the settings name.
    pub(super) fn new(
        config: &'a GrpoConfig,
        questions: &'a Questions,
        scorers: Scorers<'s>,
    ) -> Result<Self, Error> {
        let is_missing = [
            ("reward_model", config.reward.reward_model.is_some() && scorers.model.is_none()),
            ("custom_reward", config.reward.custom_reward.is_some() && scorers.custom.is_none()),
        ];
        match is_missing.into_iter().find(|&(_, is_missing)| is_missing) {
            Some((key, _)) => Err(Error::NoScorer { key }),
            None => Ok(Self { config, questions, scorers }),
        }
    }

    /// The rewards of a rollout's groups, which have no advantages yet. Scores in flight are not asked for again.
    pub(super) fn reward(
        &mut self,
        drawn: Vec<Drawn>,
        flight: &Flight,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<Group>, Error> {
        drawn.into_iter().map(|drawn| self.group(drawn, flight, notices)).collect()
    }

    fn group(
        &mut self,
        drawn: Drawn,
        flight: &Flight,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Group, Error> {
        let mut components = self.computed(drawn.question, &drawn.completions);
        components.extend(self.given(&drawn, flight, notices)?);
        components.extend(self.shaped(&drawn.completions));
        let Drawn { question, origin, completions } = drawn;
        let rewards = self.sum(&components);
        Ok(Group { question, origin, completions, components, rewards, advantages: Vec::new() })
    }

    /// What the answer and its form are worth.
    fn computed(&self, question: usize, completions: &[Completion]) -> Vec<Scored> {
        let (questions, weights) = (self.questions, self.config.reward.reward_weights);
        let opening = questions.opening(question);
        let correct = |text: &str| f64::from(u8::from(questions.is_right(question, text)));
        let texts = || completions.iter().map(|completion| completion.text.as_str());
        let format = texts().map(|text| format_reward(text, opening)).collect();
        vec![
            Scored { name: "rule", weight: weights.rule, rewards: texts().map(correct).collect() },
            Scored { name: "format", weight: weights.format, rewards: format },
        ]
    }

    /// What others say of the completions.
    fn given(
        &mut self,
        drawn: &Drawn,
        flight: &Flight,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<Vec<Scored>, Error> {
        let weights = self.config.reward.reward_weights;
        let Scorers { model, custom } = &mut self.scorers;
        let scorers = [
            ("model", weights.model(), model, ask_of_said as Ask),
            ("custom", weights.custom(), custom, ask_of_all),
        ];
        let mut given = Vec::new();
        for (name, weight, scorer, ask) in scorers {
            let Some(scorer) = scorer else { continue };
            let known = flight.get::<Vec<f64>>(name, drawn.origin);
            let known = known.filter(|known| known.len() == drawn.completions.len());
            let rewards = match known {
                Some(rewards) => rewards,
                None => {
                    let place = || self.questions.places[drawn.question].clone();
                    let Given { rewards, refusal } = ask(*scorer, self.questions, drawn)
                        .map_err(|source| Error::Reward { place: place(), name, source })?;
                    if let Some(reason) = refusal {
                        notices(&Notice::Refused { place: place(), reason });
                    }
                    flight.put(name, drawn.origin, &rewards)?;
                    rewards
                }
            };
            given.push(Scored { name, weight, rewards });
        }
        Ok(given)
    }

    /// What length and repetition cost, where they cost anything.
    fn shaped(&self, completions: &[Completion]) -> Vec<Scored> {
        let weights = self.config.reward.reward_weights;
        let most = self.config.rollout.max_completion_length;
        let of = |reward: &dyn Fn(&Completion) -> f64| completions.iter().map(reward).collect();
        let mut shaped = Vec::new();
        if weights.repetition() > 0.0 {
            let rewards = of(&|c| repetition_reward(&c.token_ids, REPETITION_LENGTH));
            shaped.push(Scored { name: "repetition", weight: weights.repetition(), rewards });
        }
        if let Some(cache) = self.config.reward.soft_punish_cache {
            let rewards = of(&|c| soft_overlong(c.token_ids.len(), most, cache));
            shaped.push(Scored { name: "overlong", weight: weights.overlong(), rewards });
        }
        shaped
    }

    /// The weighted sum, the reward model's score bounded where that is how it is to enter.
    fn sum(&self, components: &[Scored]) -> Vec<f64> {
        if self.config.reward.aggregation() != Aggregation::BoundedSum {
            return combine(&components.iter().map(Scored::as_component).collect::<Vec<_>>());
        }
        let temperature = self.config.reward.preference_temperature();
        let entering: Vec<Scored> = components
            .iter()
            .map(|scored| match scored.name {
                "model" => {
                    Scored { rewards: bounded(&scored.rewards, temperature), ..scored.clone() }
                }
                _ => scored.clone(),
            })
            .collect();
        combine(&entering.iter().map(Scored::as_component).collect::<Vec<_>>())
    }

    /// The advantages of a rollout's groups.
    pub(super) fn advantage(&self, groups: &mut [Group]) {
        if self.config.reward.aggregation() != Aggregation::NormalizeThenSum {
            let scale: Scale = self.config.scale();
            for group in groups {
                group.advantages = group_relative(&group.rewards, scale);
            }
            return;
        }
        let normalized = |group: &Group| {
            let parts: Vec<(f64, &[f64])> = group
                .components
                .iter()
                .map(|scored| (scored.weight, scored.rewards.as_slice()))
                .collect();
            normalized_sum(&parts, EPSILON)
        };
        let mut sums: Vec<Vec<f64>> = groups.iter().map(normalized).collect();
        if self.config.reward.scale_rewards == ScaleRewards::Group {
            scale_by_batch(&mut sums, EPSILON);
        }
        groups.iter_mut().zip(sums).for_each(|(group, sums)| group.advantages = sums);
    }
}

/// What a scorer says of a group.
struct Given {
    /// One for each completion.
    rewards: Vec<f64>,
    /// Why some of the completions got none of their own.
    refusal: Option<String>,
}

/// How a scorer is asked about a group.
type Ask = fn(&mut dyn Scorer, &Questions, &Drawn) -> Result<Given, ScoreError>;

/// A reward of one's own sees everything.
fn ask_of_all(
    scorer: &mut dyn Scorer,
    questions: &Questions,
    drawn: &Drawn,
) -> Result<Given, ScoreError> {
    let texts: Vec<&str> =
        drawn.completions.iter().map(|completion| completion.text.as_str()).collect();
    let rewards = scorer.scores(&questions.asked(drawn.question), &texts)?;
    Ok(Given { rewards, refusal: None })
}

/// A model is not asked about silence, which is as bad as the worst that was said. So is a response that it refuses,
/// such as one that is too long for it: drawn again it would be the same, and end the run each time.
fn ask_of_said(
    scorer: &mut dyn Scorer,
    questions: &Questions,
    drawn: &Drawn,
) -> Result<Given, ScoreError> {
    let is_said = |completion: &&Completion| !completion.text.trim().is_empty();
    let said = drawn.completions.iter().filter(is_said);
    let texts: Vec<&str> = said.map(|completion| completion.text.as_str()).collect();
    let (scores, refusal) = together_or_alone(scorer, &questions.asked(drawn.question), &texts)?;
    let worst = scores.iter().flatten().copied().reduce(f64::min).unwrap_or(0.0);
    let mut scores = scores.into_iter();
    let of = |completion: &Completion| match is_said(&completion) {
        true => scores.next().expect("one for each that was said").unwrap_or(worst),
        false => worst,
    };
    Ok(Given { rewards: drawn.completions.iter().map(of).collect(), refusal })
}

/// Scores of responses, asked about one by one where all together fail, and why some got none. An error where none got
/// any: then it is the scorer that fails.
fn together_or_alone(
    scorer: &mut dyn Scorer,
    asked: &Asked<'_>,
    texts: &[&str],
) -> Result<(Vec<Option<f64>>, Option<String>), ScoreError> {
    let error = match scorer.scores(asked, texts) {
        Ok(scores) => return Ok((scores.into_iter().map(Some).collect(), None)),
        Err(error) if texts.len() < 2 => return Err(error),
        Err(error) => error,
    };
    let mut alone = |text: &&str| scorer.scores(asked, &[*text]).ok()?.first().copied();
    let scores: Vec<Option<f64>> = texts.iter().map(&mut alone).collect();
    match scores.iter().filter(|score| score.is_none()).count() {
        0 => Ok((scores, None)),
        refused if refused == texts.len() => Err(error),
        _ => Ok((scores, Some(error.to_string()))),
    }
}
