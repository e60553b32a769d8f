//! Rotary position embedding: inverse frequencies and their long-context scalings.
//!
//! Paper: RoFormer, arXiv:2104.09864, equation 15; halves are rotated against each other
//! (component i with i + dim/2), which is the layout of Hugging Face checkpoints.

use tensor::RotaryTable;

/// How the rotary frequencies of a language model are stretched for long contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Every frequency divided by `factor` (position interpolation, arXiv:2306.15595).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Dynamic NTK: acts only beyond `max_positions`, where this program refuses to go.
    Dynamic {
        /// The stretch that would apply beyond the trained context.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// Context length before stretching, in tokens.
        original_context: f64,
    },
    /// M-RoPE (Qwen2-VL, arXiv:2409.12191, section 2.1): the frequencies as they are, shared out
    /// among the axes of a position.
    Axes {
        /// How many frequencies turn by time, by row and by column, in this order.
        sections: [usize; 3],
    },
}

impl RopeScaling {
    /// The ramp of the published Llama 3.1 (factor 8) and 3.2 (factor 32).
    pub fn llama3(factor: f64) -> Self {
        Self::Llama3 {
            factor,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        }
    }
}

/// Rotary embedding of a language model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Long-context scaling.
    pub scaling: RopeScaling,
}

impl Rope {
    /// The `head_dim / 2` angular frequencies in radians a position.
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f64> {
        let plain = (0..head_dim / 2).map(|i| self.theta.powf(-2.0 * i as f64 / head_dim as f64));
        match &self.scaling {
            RopeScaling::None | RopeScaling::Dynamic { .. } | RopeScaling::Axes { .. } => {
                plain.collect()
            }
            RopeScaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let turns = |f: f64| original_context * f / std::f64::consts::TAU;
                let span = high_freq_factor - low_freq_factor;
                // 0 for low frequencies, 1 for high ones.
                let share = |f: f64| ((turns(f) - low_freq_factor) / span).clamp(0.0, 1.0);
                plain.map(|f| share(f) * f + (1.0 - share(f)) * f / factor).collect()
            }
        }
    }

    /// Cosines and sines for one row of activations per entry of `positions`.
    pub fn table(&self, positions: &[u32], head_dim: usize) -> RotaryTable {
        RotaryTable::new(positions, &self.inverse_frequencies(head_dim), 1.0)
    }

    /// As [`table`](Self::table) for positions on three axes: time, row, column. Without
    /// [`RopeScaling::Axes`] the first counts alone.
    pub fn table_of_axes(&self, positions: &[[u32; 3]], head_dim: usize) -> RotaryTable {
        let axes = match self.scaling {
            RopeScaling::Axes { sections } => {
                let axis = |axis: usize| std::iter::repeat_n(axis, sections[axis]);
                (0..3).flat_map(axis).collect()
            }
            _ => vec![0; head_dim / 2],
        };
        RotaryTable::of_axes(positions, &self.inverse_frequencies(head_dim), &axes)
    }

    /// Whether rows that are images need positions on three axes.
    pub fn has_axes(&self) -> bool {
        matches!(self.scaling, RopeScaling::Axes { .. })
    }
}
