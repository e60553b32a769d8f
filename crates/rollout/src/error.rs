//! The one error type of this crate.

/// Why completions could not be generated or scored. Prompts are counted from 0.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is out of range.
    #[error("{key} is {value}, expected {expected}")]
    Setting {
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
    /// A prompt has no tokens.
    #[error("prompt {prompt} is empty")]
    EmptyPrompt {
        /// Which prompt.
        prompt: usize,
    },
    /// A prompt does not fit the context.
    #[error("prompt {prompt} has {length} tokens, more than the context of {context}")]
    PromptTooLong {
        /// Which prompt.
        prompt: usize,
        /// Its tokens.
        length: usize,
        /// The context length.
        context: usize,
    },
    /// A prompt's features and its image rows differ in number.
    #[error("prompt {prompt} has {rows} image rows and {num_features} image features")]
    Features {
        /// Which prompt.
        prompt: usize,
        /// Image tokens in it.
        rows: usize,
        /// Features given with it.
        num_features: usize,
    },
    /// The key/value cache cannot hold even one completion of a prompt.
    #[error(
        "prompt {prompt} and one completion need {needed} cache rows ({bytes} bytes), cache_bytes allows {rows}"
    )]
    CacheTooSmall {
        /// Which prompt.
        prompt: usize,
        /// Rows for the prompt and its longest completion.
        needed: usize,
        /// Bytes that these rows take.
        bytes: usize,
        /// Rows within the allowed bytes.
        rows: usize,
    },
    /// The model refused its input.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Text, tokens or an image could not be converted.
    #[error(transparent)]
    Preprocess(#[from] preprocess::Error),
}
