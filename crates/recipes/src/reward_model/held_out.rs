//! Held-out pairs, measured: accuracy, margin, loss and calibration.

use std::collections::BTreeMap;

use reward::{PairwiseSummary, pairwise};

use super::{Judging, pairs::JudgedPair};
use crate::Error;

/// Pairs whose features are held at once.
const TOGETHER: usize = 16;

/// Rows of one pass.
const MAX_ROWS: usize = 4096;

/// Metrics of held-out pairs, under TRL's names; none without pairs.
pub(super) fn measure(
    judging: &mut Judging,
    pairs: &[JudgedPair],
) -> Result<BTreeMap<String, f64>, Error> {
    let mut margins = Vec::with_capacity(pairs.len());
    for some in pairs.chunks(TOGETHER) {
        let candidates = some.iter().map(|pair| judging.candidates(pair));
        let candidates = candidates.collect::<Result<Vec<_>, _>>()?;
        let reader = (&judging.policy.vlm, &judging.head);
        for scores in rollout::judge(reader, &candidates, MAX_ROWS)? {
            margins.push(f64::from(scores[0]) - f64::from(scores[1]));
        }
    }
    let PairwiseSummary { num_pairs, accuracy, margin, loss, calibration_error } =
        pairwise(&margins);
    let named = [
        ("eval_num_pairs", num_pairs as f64),
        ("eval_accuracy", accuracy),
        ("eval_margin", margin),
        ("eval_loss", loss),
        ("eval_calibration_error", calibration_error),
    ];
    let named = named.map(|(name, value)| (name.to_owned(), value));
    Ok(if num_pairs == 0 { BTreeMap::new() } else { named.into() })
}
