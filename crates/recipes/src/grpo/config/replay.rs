//! How long completions are kept, and how they come back.

use advantage::ReplayUnit;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::in_range;

/// The Selective Sample Buffer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BufferConfig {
    /// Exponent α of a buffered completion's priority `|Â|^α`.
    #[serde(default = "replay_alpha")]
    pub replay_alpha: f64,
    /// Rollouts after which the Selective Sample Buffer drops a completion; 0 for no buffer.
    #[serde(default = "replay_staleness")]
    pub replay_staleness: u64,
    /// Completions kept at most; eight times those of a rollout by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_capacity: Option<usize>,
    /// What is drawn at once: `response` or `group`.
    #[serde(default)]
    pub replay_unit: ReplayUnit,
    /// Largest importance ratio of a buffered completion's token, which then keeps pushing with that weight; when
    /// absent, its ratio is clipped as that of any other, and held below 3 (or `delta`) where its advantage is negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_importance_cap: Option<f64>,
}

/// VL-Rethinker (arXiv:2504.08837), section 3.
fn replay_alpha() -> f64 {
    1.0
}

fn replay_staleness() -> u64 {
    4
}

impl BufferConfig {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let alpha = self.replay_alpha;
        let holds = alpha >= 0.0 && alpha.is_finite();
        in_range(holds, "replay_alpha", &alpha, "a finite number from 0")?;
        let cap = self.replay_importance_cap.unwrap_or(1.0);
        let holds = cap > 0.0 && cap.is_finite();
        in_range(holds, "replay_importance_cap", &cap, "a finite number above 0")
    }
}
