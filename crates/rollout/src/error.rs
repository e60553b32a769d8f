//! The one error type of this crate.

/// Why completions could not be generated or scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sampling setting is out of range.
    #[error("{key} is {value}, expected {expected}")]
    Sampling {
        /// The setting's name.
        key: &'static str,
        /// What was given.
        value: f32,
        /// What could stand there.
        expected: &'static str,
    },
    /// The model's logits hold NaN or infinity.
    #[error("logits of sample {stream} at output token {position} are not finite")]
    NotFinite {
        /// The sample's draw stream.
        stream: u64,
        /// The token's place in the completion.
        position: u64,
    },
    /// Every token of the vocabulary is banned.
    #[error("every token of the vocabulary is banned")]
    NothingToChoose,
}
