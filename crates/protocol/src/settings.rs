//! What shapes the figures of an evaluation.

use benchmark::Style;
use judge::Decoding;
use serde::{Deserialize, Serialize};

use crate::record::Scheme;

/// What shapes the figures; written beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Responses to each item; the figure is their mean.
    pub num_runs: usize,
    /// How responses are drawn; the seed of run r is larger by r.
    pub decoding: Decoding,
    /// Whose words the prompts use.
    pub prompts: Style,
    /// The score that counts.
    pub scoring: Scheme,
    /// Whether the model's prompt opens a thought, so that a response without its end has none.
    pub opens_thought: bool,
    /// How a judge's replies are drawn.
    pub judge: Option<Decoding>,
}
