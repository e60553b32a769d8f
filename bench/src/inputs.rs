//! Inputs that both sides make from the same arithmetic; `peers/inputs.py` is the other copy.

use tensor::Tensor;

/// Token `i` of stream `stream`: ordinary words of a vocabulary of 49,152.
pub(crate) fn token(stream: usize, i: usize) -> u32 {
    (100 + (stream * 104_729 + i * 7_919) % 40_000) as u32
}

/// Tokens `0..num` of a stream.
pub(crate) fn tokens(stream: usize, num: usize) -> Vec<u32> {
    (0..num).map(|i| token(stream, i)).collect()
}

/// "Explain in simple words why the sky is blue, and why it is red in the evening." in SmolLM2's chat template: a prompt
/// whose continuation is not all chance. `peers/decode_gguf.mjs` has the other copy.
pub(crate) const QUESTION: [u32; 28] = [
    1, 4093, 198, 36971, 281, 2232, 1924, 1701, 260, 6376, 314, 4461, 28, 284, 1701, 357, 314,
    2382, 281, 260, 9053, 30, 2, 198, 1, 520, 9531, 198,
];

/// Image features `[rows, width]`, starting at value `first` of the one long series.
pub(crate) fn features(first: usize, rows: usize, width: usize) -> Tensor {
    let value = |i: usize| ((first + i) as f64 * 0.37).sin() as f32;
    Tensor::from_vec((0..rows * width).map(value).collect(), &[rows, width])
}

/// Pixels `[images, 3, side, side]`.
pub(crate) fn pixels(images: usize, side: usize) -> Tensor {
    let num = images * 3 * side * side;
    let value = |i: usize| (i as f64 * 0.61).sin() as f32;
    Tensor::from_vec((0..num).map(value).collect(), &[images, 3, side, side])
}
