//! How much arithmetic a run is, and how long that takes on this machine.

use std::sync::OnceLock;
use std::time::Instant;

use ::model::llm::LlmTraining;
use anyhow::Result;
use recipes::config::ModelConfig;
use serde::Serialize;
use tensor::{DType, Tensor, Weight, ops};

/// Share of the rate of a bare product that a whole training step reaches.
const REACHED: f64 = 0.65;

/// Rows, inputs and outputs of the product that is timed: those of a small language model.
const PRODUCT: [usize; 3] = [256, 1536, 576];

/// How often it is timed; the fastest counts, as others may be busy too.
const NUM_PRODUCTS: usize = 40;

/// Tokens that a run puts through the language model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    /// Tokens with a backward pass.
    pub(super) learned: f64,
    /// Tokens that are drawn or scored, at most.
    pub(super) read: f64,
}

/// Arithmetic and time of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Work {
    /// Floating-point operations of the language model, which does most of them.
    pub(super) operations: f64,
    /// Seconds that they take here at most, if nobody else is busy: rows that samples share, and rows before the first
    /// image, cost less; drawing few completions at once costs more.
    pub(super) seconds: f64,
}

impl Work {
    /// Of a language model that multiplies a row with so many weights.
    pub(super) fn new(tokens: Tokens, num_weights: usize, config: &ModelConfig) -> Result<Self> {
        let rerun = usize::from(config.gradient_checkpointing);
        let own = usize::from(config.trainable()?.llm() == LlmTraining::Full);
        // Forward, and backward to the inputs.
        let passes = (2 + rerun + own) as f64;
        let operations = 2.0 * num_weights as f64 * (passes * tokens.learned + tokens.read);
        Ok(Self { operations, seconds: operations / (REACHED * rate()) })
    }
}

/// Operations a second of a bare product on this machine.
fn rate() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let [rows, inputs, outputs] = PRODUCT;
        let values = vec![0.5; outputs * inputs];
        let weight = Weight::pack(&values, outputs, inputs, DType::F32);
        let x = Tensor::from_vec(vec![0.5; rows * inputs], &[rows, inputs]);
        let seconds = (0..NUM_PRODUCTS).map(|_| {
            let begun = Instant::now();
            drop(ops::linear(&x, &weight, None));
            begun.elapsed().as_secs_f64()
        });
        let fastest = seconds.fold(f64::INFINITY, f64::min).max(f64::MIN_POSITIVE);
        (2 * rows * inputs * outputs) as f64 / fastest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_counted_and_time_follows() {
        let config = |keys: &str| -> ModelConfig {
            toml::from_str(&format!("model_name_or_path = 'vlm'\n{keys}")).unwrap()
        };
        let tokens = Tokens { learned: 100.0, read: 10.0 };
        let of = |keys: &str| Work::new(tokens, 1000, &config(keys)).unwrap();
        assert_eq!(of("").operations, 2.0 * 1000.0 * 210.0);
        assert_eq!(of("gradient_checkpointing = true").operations, 2.0 * 1000.0 * 310.0);
        assert_eq!(of("trainable = 'adapter+llm'").operations, 2.0 * 1000.0 * 310.0);
        assert!(of("").seconds > 0.0 && of("").seconds.is_finite());
    }
}
