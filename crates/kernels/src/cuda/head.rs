//! The log-prob head: a piece of the vocabulary at a time, so that the logits of all tokens never exist.
//!
//! ```text
//!  rows × piece ─► logits ─► running softmax            once for log-probs and entropies
//!  rows × piece ─► logits ─► slopes ─► products         again where a gradient is wanted
//! ```

use crate::head::{LogProbs, Want};
use bytemuck::Pod;

use crate::cuda::compile::HEAD;
use crate::cuda::launch::{Grid, Launch, THREADS, int};
use crate::cuda::linear::{self, Bf16, Matrix, Outer, Rounded, Rows};
use crate::cuda::memory::Buffer;

/// Tokens whose logits exist at once.
const PIECE: usize = 8192;
/// Rows whose logits exist at once: with a piece, 64 MiB.
const WAVE: usize = 2048;
/// Values of a row's running state.
const STATE: usize = 4;

/// Log-probs and entropies on the host, the gradient where the rows are.
#[derive(Debug)]
pub struct Scored {
    /// Log-probability of each target.
    pub log_prob: Vec<f32>,
    /// Entropy of each row's distribution, in nats.
    pub entropy: Vec<f32>,
    /// `∂ log_prob / ∂ hidden`, if wanted.
    pub gradient: Option<Buffer>,
}

/// As `crate::head::log_probs` of `hidden` `[rows, inputs]`.
///
/// # Panics
/// If a target is outside the vocabulary, or lengths disagree.
pub fn log_probs(
    hidden: &Buffer,
    head: &Matrix,
    targets: &[u32],
    temperature: f32,
    want: Want,
) -> Scored {
    let inputs = width(hidden, head, targets);
    let mut scored = Scored { log_prob: Vec::new(), entropy: Vec::new(), gradient: None };
    let mut gradient = (want == Want::Gradient).then(|| Buffer::zeros(hidden.card(), hidden.len()));
    for first in (0..targets.len()).step_by(WAVE) {
        let wave = Wave::new(hidden, (head, inputs), (first, targets), temperature);
        let LogProbs { log_prob, entropy, .. } = wave.log_probs();
        scored.log_prob.extend(log_prob);
        scored.entropy.extend(entropy);
        if let Some(gradient) = &mut gradient {
            let of_wave = wave.gradient();
            gradient.copy_from(first * inputs, &of_wave, 0, of_wave.len());
        }
    }
    scored.gradient = gradient;
    scored
}

/// `grad += Σ_n dlogp[n] · ∂logp[n]/∂W`.
///
/// # Panics
/// As [`log_probs`].
pub fn weight_gradient(
    (hidden, head): (&Buffer, &Matrix),
    targets: &[u32],
    temperature: f32,
    dlogp: &[f32],
    grad: &mut Buffer,
) {
    let inputs = width(hidden, head, targets);
    for first in (0..targets.len()).step_by(WAVE) {
        let wave = Wave::new(hidden, (head, inputs), (first, targets), temperature);
        wave.log_probs();
        wave.add_weight_gradient(&dlogp[first..first + wave.rows()], grad);
    }
}

fn width(hidden: &Buffer, head: &Matrix, targets: &[u32]) -> usize {
    let inputs = hidden.len() / targets.len().max(1);
    assert_eq!(inputs * targets.len(), hidden.len(), "rows and targets");
    let vocabulary = head.len() / inputs.max(1);
    let outside = targets.iter().find(|&&target| target as usize >= vocabulary);
    assert!(outside.is_none(), "target {outside:?} of {vocabulary}");
    inputs
}

/// Some rows with what is known of them.
struct Wave<'a> {
    hidden: Buffer,
    head: &'a Matrix,
    inputs: usize,
    targets: Buffer<u32>,
    inverse_temperature: f32,
    states: Buffer,
    log_sum: Buffer,
}

impl<'a> Wave<'a> {
    fn new(
        hidden: &Buffer,
        (head, inputs): (&'a Matrix, usize),
        (first, targets): (usize, &[u32]),
        temperature: f32,
    ) -> Self {
        let card = head.card();
        let targets = &targets[first..targets.len().min(first + WAVE)];
        let mut rows = Buffer::scratch(card, targets.len() * inputs);
        rows.copy_from(0, hidden, first * inputs, targets.len() * inputs);
        Self {
            hidden: rows,
            head,
            inputs,
            targets: Buffer::upload(card, targets),
            inverse_temperature: 1.0 / temperature,
            states: Buffer::zeros(card, targets.len() * STATE),
            log_sum: Buffer::zeros(card, targets.len()),
        }
    }

    fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The vocabulary in pieces.
    fn pieces(&self) -> impl Iterator<Item = Rows> + use<> {
        let (vocabulary, inputs) = (self.head.len() / self.inputs, self.inputs);
        let piece = move |first| Rows { first, num: PIECE.min(vocabulary - first), inputs };
        (0..vocabulary).step_by(PIECE).map(piece)
    }

    fn logits(&self, hidden: &Rounded, piece: Rows) -> Buffer {
        let mut logits = Buffer::scratch(self.head.card(), self.rows() * piece.num);
        linear::times_turned(hidden, self.head, piece, &mut logits, self.rows());
        logits
    }

    fn log_probs(&self) -> LogProbs {
        let (card, rows) = (self.head.card(), self.rows());
        let hidden = self.head.round(&self.hidden);
        for piece in self.pieces() {
            let logits = self.logits(&hidden, piece);
            Launch::new(card, &HEAD, "head_absorb")
                .arg(&logits)
                .arg(&self.targets)
                .arg(&self.states)
                .arg(self.inverse_temperature)
                .arg(int(piece.first))
                .arg(int(piece.num))
                .run(Grid::of(rows));
        }
        let [log_prob, entropy] = [(); 2].map(|()| Buffer::<f32>::scratch(card, rows));
        Launch::new(card, &HEAD, "head_finish")
            .arg(&self.states)
            .arg(&log_prob)
            .arg(&entropy)
            .arg(&self.log_sum)
            .arg(int(rows))
            .run(Grid::of(rows.div_ceil(THREADS as usize)));
        LogProbs { log_prob: log_prob.download(), entropy: entropy.download(), gradient: None }
    }

    /// Slopes of the log-probs with respect to a piece's logits, as products with the head take them.
    fn slopes(&self, hidden: &Rounded, piece: Rows, factors: Option<&Buffer>) -> Rounded<'static> {
        let logits = self.logits(hidden, piece);
        match self.head {
            Matrix::F32(_) => {
                self.write_slopes::<f32>("head_slopes", &logits, piece, factors).into()
            }
            Matrix::Bf16(_) => {
                self.write_slopes::<Bf16>("head_slopes_bf16", &logits, piece, factors).into()
            }
        }
    }

    fn write_slopes<T: Pod>(
        &self,
        kernel: &'static str,
        logits: &Buffer,
        piece: Rows,
        factors: Option<&Buffer>,
    ) -> Buffer<T> {
        let mut slopes = Buffer::scratch(self.head.card(), logits.len());
        Launch::new(self.head.card(), &HEAD, kernel)
            .arg(logits)
            .arg(&self.targets)
            .arg(&self.log_sum)
            .arg(factors)
            .arg(&mut slopes)
            .arg(self.inverse_temperature)
            .arg(int(piece.first))
            .arg(int(piece.num))
            .run(Grid::of(self.rows()));
        slopes
    }

    /// `∂ log_prob / ∂ hidden`. Needs [`log_probs`](Self::log_probs) first.
    fn gradient(&self) -> Buffer {
        let mut gradient = Buffer::zeros(self.head.card(), self.hidden.len());
        let hidden = self.head.round(&self.hidden);
        for piece in self.pieces() {
            let slopes = self.slopes(&hidden, piece, None);
            linear::times(&slopes, self.head, piece, (&mut gradient, true));
        }
        gradient
    }

    /// Needs [`log_probs`](Self::log_probs) first.
    fn add_weight_gradient(&self, dlogp: &[f32], grad: &mut Buffer) {
        let hidden = self.head.round(&self.hidden);
        let factors = Buffer::upload(self.head.card(), dlogp);
        for piece in self.pieces() {
            let slopes = self.slopes(&hidden, piece, Some(&factors));
            linear::add_outer(
                grad,
                &Outer {
                    dy: slopes.address(),
                    x: hidden.address(),
                    precision: self.head.precision(),
                    rows: self.rows(),
                    outputs: piece.num,
                    inputs: self.inputs,
                    first: piece.first,
                },
            );
        }
    }
}
