//! What was kept and what was dropped, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PairKind;

/// Counts over all prompts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Prompts sampled.
    pub num_prompts: usize,
    /// Prompts with a known answer.
    pub num_with_answer: usize,
    /// Prompts longer than the context, which nothing was sampled for.
    #[serde(default)]
    pub num_too_long: usize,
    /// Prompts whose responses got no scores, and so no pairs.
    pub num_unscored: usize,
    /// Prompts that gave no pair.
    pub num_without_pairs: usize,
    /// Responses sampled.
    pub num_responses: usize,
    /// Responses that say nothing.
    pub num_empty: usize,
    /// Responses that repeat another of their prompt.
    pub num_repeated: usize,
    /// Distinct responses cut off by the limit on tokens.
    pub num_truncated: usize,
    /// Distinct complete responses without the form.
    pub num_malformed: usize,
    /// Distinct responses with the known answer.
    pub num_correct: usize,
    /// The least difference of scores of a pair; absent where only the rule decided.
    pub threshold: Option<f64>,
    /// Differences of scores within prompts: least, quartiles, greatest.
    pub gap_quartiles: Option<[f64; 5]>,
    /// Ordered pairs of well-formed responses that were compared.
    pub num_compared: usize,
    /// Of these, pairs whose scores differ by less than the threshold.
    pub num_below_threshold: usize,
    /// Of these, pairs whose better-scored response is wrong.
    pub num_chosen_wrong: usize,
    /// Of these, pairs whose rejected answer holds the chosen one.
    pub num_answer_in_rejected: usize,
    /// Pairs beyond the cap of their prompt.
    pub num_over_cap: usize,
    /// DropoutNTP pairs given up: cut off, or the same as the chosen response.
    pub num_dropout_lost: usize,
    /// Pairs whose chosen response the judge finds inconsistent with image or question.
    #[serde(default)]
    pub num_inconsistent: usize,
    /// Pairs that the judge gave no usable verdict on.
    #[serde(default)]
    pub num_unjudged: usize,
    /// Pairs by score.
    pub num_score_pairs: usize,
    /// Pairs by rule.
    pub num_rule_pairs: usize,
    /// Pairs of forms.
    pub num_format_pairs: usize,
    /// DropoutNTP pairs.
    pub num_dropout_pairs: usize,
    /// Pairs whose rejected response is right for another image.
    #[serde(default)]
    pub num_other_image_pairs: usize,
}

impl Statistics {
    /// Counts a pair that is written.
    pub(super) fn count(&mut self, kind: PairKind) {
        *match kind {
            PairKind::Score => &mut self.num_score_pairs,
            PairKind::Rule => &mut self.num_rule_pairs,
            PairKind::Format => &mut self.num_format_pairs,
            PairKind::Dropout => &mut self.num_dropout_pairs,
            PairKind::OtherImage => &mut self.num_other_image_pairs,
        } += 1;
    }

    /// Pairs written.
    pub fn num_pairs(&self) -> usize {
        let by_responses = self.num_score_pairs + self.num_rule_pairs + self.num_format_pairs;
        by_responses + self.num_dropout_pairs + self.num_other_image_pairs
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "prompts    {}: {} with an answer, {} without pairs, {} without scores, {} too long",
            self.num_prompts,
            self.num_with_answer,
            self.num_without_pairs,
            self.num_unscored,
            self.num_too_long
        )?;
        writeln!(
            f,
            "responses  {}: {} empty, {} repeated, {} cut off, {} malformed, {} right",
            self.num_responses,
            self.num_empty,
            self.num_repeated,
            self.num_truncated,
            self.num_malformed,
            self.num_correct
        )?;
        writeln!(
            f,
            "compared   {}: {} below the threshold, {} chosen but wrong, {} with the answer in the \
             rejected, {} over the cap",
            self.num_compared,
            self.num_below_threshold,
            self.num_chosen_wrong,
            self.num_answer_in_rejected,
            self.num_over_cap
        )?;
        if let (Some(threshold), Some([least, .., greatest])) = (self.threshold, self.gap_quartiles)
        {
            writeln!(f, "threshold  {threshold:.3}; gaps from {least:.3} to {greatest:.3}")?;
        }
        if self.num_inconsistent + self.num_unjudged > 0 {
            let Self { num_inconsistent, num_unjudged, .. } = self;
            writeln!(
                f,
                "judged     {num_inconsistent} not consistent, {num_unjudged} without a verdict"
            )?;
        }
        write!(
            f,
            "pairs      {}: {} by score, {} by rule, {} of forms, {} by dropout ({} lost), {} of other \
             images",
            self.num_pairs(),
            self.num_score_pairs,
            self.num_rule_pairs,
            self.num_format_pairs,
            self.num_dropout_pairs,
            self.num_dropout_lost,
            self.num_other_image_pairs
        )
    }
}
