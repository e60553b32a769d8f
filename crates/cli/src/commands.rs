//! One file for each subcommand, in the order of the pipeline.

pub(crate) mod assets;
pub(crate) mod assemble;
pub(crate) mod inspect;
pub(crate) mod preprocess;
pub(crate) mod generate;
pub(crate) mod chat;
pub(crate) mod serve;
pub(crate) mod logprobs;
pub(crate) mod data;
mod plan;
mod training;
pub(crate) mod distill;
pub(crate) mod sft;
pub(crate) mod iterative_sft;
pub(crate) mod reward;
pub(crate) mod preferences;
pub(crate) mod mpo;
pub(crate) mod grpo;
pub(crate) mod eval;
pub(crate) mod choose;
pub(crate) mod verify;
pub(crate) mod run;
pub(crate) mod report;
pub(crate) mod demo;
