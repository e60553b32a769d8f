//! Learning rate as a pure function of the step, with transformers' names and formulas.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The shape of the learning rate after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedulerType {
    /// Half a cosine from the full rate to zero.
    Cosine,
    /// A straight line from the full rate to zero.
    Linear,
    /// The full rate from the first step on, without warm-up.
    Constant,
    /// The full rate after the warm-up.
    ConstantWithWarmup,
}

/// How the learning rate moves over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The shape.
    pub lr_scheduler_type: LrSchedulerType,
    /// Warm-up as a share of `max_steps`, rounded up. Excludes `warmup_steps`.
    #[serde(default)]
    pub warmup_ratio: f64,
    /// Warm-up in steps. Excludes `warmup_ratio`.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Number of optimiser steps of the whole run.
    pub max_steps: u64,
}

impl ScheduleConfig {
    /// Number of steps before the full rate is reached: `warmup_steps`, or `⌈warmup_ratio · max_steps⌉`.
    ///
    /// Where transformers' rounding up would leave a short run no step of the full rate, the last one has it: a run of a
    /// single step would else learn nothing.
    pub fn num_warmup_steps(&self) -> u64 {
        if self.warmup_steps > 0 {
            return self.warmup_steps;
        }
        let rounded_up = (self.max_steps as f64 * self.warmup_ratio).ceil() as u64;
        rounded_up.min(self.max_steps.saturating_sub(1))
    }

    /// The factor on `learning_rate` for the update that follows `num_updates` earlier ones.
    ///
    /// ```text
    /// n < w             n / w
    /// cosine            ½ (1 + cos(π p))      p = (n − w) / (max_steps − w)
    /// linear            1 − p
    /// constant…         1
    /// ```
    ///
    /// As in transformers' `get_cosine_schedule_with_warmup` and its siblings, so the very first update
    /// of a warm-up has rate zero.
    pub fn factor(&self, num_updates: u64) -> f64 {
        let num_warmup = self.num_warmup_steps();
        if num_updates < num_warmup {
            return num_updates as f64 / num_warmup as f64;
        }
        let num_decay = self.max_steps.saturating_sub(num_warmup).max(1) as f64;
        match self.lr_scheduler_type {
            LrSchedulerType::Cosine => {
                let progress = (num_updates - num_warmup) as f64 / num_decay;
                (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
            }
            LrSchedulerType::Linear => {
                self.max_steps.saturating_sub(num_updates) as f64 / num_decay
            }
            LrSchedulerType::Constant | LrSchedulerType::ConstantWithWarmup => 1.0,
        }
    }

    /// Checks the ranges, and the pairs that exclude each other.
    pub fn validate(&self) -> Result<(), Error> {
        if self.max_steps == 0 {
            return Err(Error::Config {
                key: "max_steps",
                value: "0".into(),
                expected: "at least one step",
            });
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            return Err(Error::Config {
                key: "warmup_ratio",
                value: self.warmup_ratio.to_string(),
                expected: "a number from 0 to 1",
            });
        }
        self.validate_pairs()
    }

    fn validate_pairs(&self) -> Result<(), Error> {
        let warmup = if self.warmup_steps > 0 {
            format!("warmup_steps = {}", self.warmup_steps)
        } else {
            format!("warmup_ratio = {}", self.warmup_ratio)
        };
        let contradiction = |second: String, reason| {
            Err(Error::Contradiction { first: warmup.clone(), second, reason })
        };
        if self.warmup_steps > 0 && self.warmup_ratio > 0.0 {
            return contradiction(
                format!("warmup_ratio = {}", self.warmup_ratio),
                "the warm-up is given twice",
            );
        }
        let has_warmup = self.warmup_steps > 0 || self.warmup_ratio > 0.0;
        if has_warmup && self.lr_scheduler_type == LrSchedulerType::Constant {
            return contradiction(
                "lr_scheduler_type = constant".into(),
                "constant has no warm-up; use constant_with_warmup",
            );
        }
        if self.warmup_steps > self.max_steps {
            return contradiction(
                format!("max_steps = {}", self.max_steps),
                "the run would end before its warm-up",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: LrSchedulerType, ratio: f64, steps: u64, max: u64) -> ScheduleConfig {
        ScheduleConfig {
            lr_scheduler_type: kind,
            warmup_ratio: ratio,
            warmup_steps: steps,
            max_steps: max,
        }
    }

    fn check(config: &ScheduleConfig, expected: &[f64]) {
        let found: Vec<f64> = (0..expected.len() as u64).map(|n| config.factor(n)).collect();
        for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() < 1e-12,
                "{config:?} at {n}: {found} is not {expected}"
            );
        }
    }

    // from transformers.optimization import (_get_cosine_schedule_with_warmup_lr_lambda as cosine,
    //     _get_linear_schedule_with_warmup_lr_lambda as linear)
    // import math; w = math.ceil(0.25 * 10)
    // print([cosine(n, num_warmup_steps=w, num_training_steps=10, num_cycles=0.5) for n in range(11)])
    // print([linear(n, num_warmup_steps=w, num_training_steps=10) for n in range(11)])
    #[test]
    fn factors_equal_those_of_transformers() {
        let cosine = [
            0.0,
            0.3333333333333333,
            0.6666666666666666,
            1.0,
            0.9504844339512095,
            0.8117449009293668,
            0.6112604669781572,
            0.38873953302184283,
            0.18825509907063326,
            0.04951556604879048,
            0.0,
        ];
        check(&config(LrSchedulerType::Cosine, 0.25, 0, 10), &cosine);
        let linear = [
            0.0,
            0.3333333333333333,
            0.6666666666666666,
            1.0,
            0.8571428571428571,
            0.7142857142857143,
            0.5714285714285714,
            0.42857142857142855,
            0.2857142857142857,
            0.14285714285714285,
            0.0,
        ];
        check(&config(LrSchedulerType::Linear, 0.25, 0, 10), &linear);
    }

    #[test]
    fn constant_schedules() {
        check(&config(LrSchedulerType::Constant, 0.0, 0, 3), &[1.0, 1.0, 1.0]);
        check(&config(LrSchedulerType::ConstantWithWarmup, 0.0, 2, 4), &[0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn cosine_at_points_known_by_heart() {
        let third = config(LrSchedulerType::Cosine, 0.0, 0, 6);
        check(&third, &[1.0, 0.75_f64.sqrt() / 2.0 + 0.5, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn warmup_ratio_is_rounded_up() {
        for (ratio, max_steps, expected) in [
            (0.03, 100, 3),
            (0.03, 101, 4),
            (0.1, 5, 1),
            (0.0, 9, 0),
            (1.0, 7, 6),
            (0.03, 1, 0),
            (0.03, 2, 1),
        ] {
            let config = config(LrSchedulerType::Cosine, ratio, 0, max_steps);
            assert_eq!(config.num_warmup_steps(), expected, "{ratio} of {max_steps}");
        }
    }

    #[test]
    fn contradictions_name_both_keys() {
        let cases = [
            (
                config(LrSchedulerType::Cosine, 0.1, 5, 100),
                ["warmup_steps = 5", "warmup_ratio = 0.1"],
            ),
            (
                config(LrSchedulerType::Constant, 0.1, 0, 100),
                ["warmup_ratio = 0.1", "lr_scheduler_type = constant"],
            ),
            (
                config(LrSchedulerType::Constant, 0.0, 5, 100),
                ["warmup_steps = 5", "lr_scheduler_type = constant"],
            ),
            (config(LrSchedulerType::Linear, 0.0, 11, 10), ["warmup_steps = 11", "max_steps = 10"]),
        ];
        for (config, keys) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(keys.iter().all(|key| message.contains(key)), "{message}");
        }
    }

    #[test]
    fn values_out_of_range_and_unknown_keys_are_errors() {
        for bad in [
            config(LrSchedulerType::Cosine, 1.5, 0, 10),
            config(LrSchedulerType::Cosine, f64::NAN, 0, 10),
        ] {
            assert!(bad.validate().unwrap_err().to_string().starts_with("warmup_ratio"), "{bad:?}");
        }
        assert!(config(LrSchedulerType::Cosine, 0.0, 0, 0).validate().is_err());
        let unknown = r#"{"lr_scheduler_type": "cosine", "max_steps": 3, "warm_up": 1}"#;
        let message = serde_json::from_str::<ScheduleConfig>(unknown).unwrap_err().to_string();
        assert!(message.contains("warm_up"), "{message}");
    }
}
