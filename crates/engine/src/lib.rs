//! Everything after the forward pass, once, for every trainer.
//!
//! ```text
//!            Task (an algorithm)                Engine                        Run (a folder)
//!  batches ─► count ───────────────► totals
//!          ─► forward_backward ◄──── totals
//!                   │ loss, gradients ────► finite? ─► clip ─► AdamW
//!          ◄─ publish ◄──────────────────────────────── parameters ─► checkpoint-<step>/
//!                                           StepReport ─────────────► metrics.jsonl, runs/
//! ```
//!
//! A task says how to count a micro-batch and how to run it forward and backward; the engine knows
//! neither algorithm nor model. Fitting `w` to `y = 3 x`:
//!
//! ```
//! use engine::*;
//! use tensor::Gradients;
//!
//! struct Line { w: f32 }
//!
//! impl Task for Line {
//!     type Batch = Vec<(f32, f32)>;
//!
//!     fn count(&self, batch: &Self::Batch) -> Counts {
//!         Counts { sequences: batch.len() as u64, ..Counts::default() }
//!     }
//!
//!     fn samples(&self, batch: &Self::Batch) -> Vec<String> {
//!         batch.iter().map(|(x, _)| format!("x = {x}")).collect()
//!     }
//!
//!     fn forward_backward(
//!         &mut self, batch: &Self::Batch, totals: &Counts, gradients: &mut Gradients,
//!     ) -> Result<StepLoss, TaskError> {
//!         let share = 1.0 / totals.sequences as f32;
//!         let gradient = gradients.get_mut("w").ok_or("w is frozen")?.as_mut_slice();
//!         let mut loss = 0.0;
//!         for (x, y) in batch {
//!             let error = self.w * x - y;
//!             loss += 0.5 * share * error * error;
//!             gradient[0] += share * error * x;
//!         }
//!         Ok(StepLoss::new(loss.into()))
//!     }
//!
//!     fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
//!         self.w = parameters.get("w").ok_or("w is missing")?.as_slice()[0];
//!         Ok(())
//!     }
//! }
//!
//! let parameters = Parameters::new([("w".to_owned(), vec![1], vec![0.0])])?;
//! let schedule = ScheduleConfig {
//!     lr_scheduler_type: LrSchedulerType::Cosine, warmup_ratio: 0.0, warmup_steps: 0, max_steps: 200,
//! };
//! let config = EngineConfig { optimizer: OptimizerConfig::new(0.1, 0.0), schedule };
//! let mut engine = Engine::new(parameters, config)?;
//! let mut task = Line { w: 0.0 };
//! for _ in 0..engine.max_steps() {
//!     engine.step(&mut task, &[vec![(1.0, 3.0)], vec![(-2.0, -6.0), (0.5, 1.5)]])?;
//! }
//! assert!((task.w - 3.0).abs() < 1e-2);
//! # Ok::<(), engine::Error>(())
//! ```
//!
//! This crate does not run a model, compute a loss, draw a random number, or read a clock (but for the
//! time stamp that TensorBoard wants).

mod error;
mod task;
mod parameters;
mod schedule;
mod optimizer;
mod step;
mod lock;
mod checkpoint;
mod tensorboard;
mod metrics;
mod run;

pub use checkpoint::{
    CheckpointConfig, Checkpoints, SavedFile, TaskState, config_hash, newest_checkpoint,
};
pub use error::{Error, TaskError};
pub use lock::LockedFile;
pub use optimizer::OptimizerConfig;
pub use parameters::Parameters;
pub use run::{Event, Observer, Resumed, Run, RunParts, Start};
pub use schedule::{LrSchedulerType, ScheduleConfig};
pub use step::{Engine, EngineConfig, StepReport};
pub use task::{Counts, StepLoss, Task};
