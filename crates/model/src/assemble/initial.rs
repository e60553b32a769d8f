//! A new adapter, drawn.
//!
//! PyTorch's defaults: norm 1 and 0, linear layers uniform in ±1/√inputs. As the table of token
//! embeddings may be far smaller or larger than what comes out, the second layer can be scaled so
//! that image embeddings start at a chosen multiple of the table's standard deviation.

use std::collections::HashMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor::ops::{self, Gelu};
use tensor::{DType, Tensor, Weight};

use super::Settings;
use super::source::LanguageModel;
use crate::Error;
use crate::adapter::{self, std};
use crate::layout::row_u32;
use crate::vlm::{LLM_PREFIX, Vlm};

/// Features drawn to measure the scale of an adapter's output.
const NUM_PROBES: usize = 256;

/// A stream of random numbers that depends on the seed and on what they are for, on nothing else.
struct Draws(ChaCha8Rng);

impl Draws {
    const PROBES: u64 = 1;
    /// The first of one stream for each tensor of the adapter.
    const ADAPTER: u64 = 2;

    fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// In (0, 1): the middles of 2⁵³ equal parts.
    fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Of mean 0 and variance 1 (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// The tensors of a new adapter between features and embeddings of these widths.
pub(super) fn initial_adapter(
    widths: [usize; 2],
    settings: &Settings,
    llm: &LanguageModel,
) -> Result<HashMap<String, Vec<f32>>, Error> {
    let [norm, norm_bias, first, first_bias, second, second_bias] =
        [0, 1, 2, 3, 4, 5].map(|i| adapter::tensors(widths[0], widths[1]).swap_remove(i));
    let mut stream = Draws::ADAPTER;
    let mut drawn = |(name, shape): (String, Vec<usize>), inputs: usize| {
        let mut draws = Draws::new(settings.seed, stream);
        stream += 1;
        let bound = 1.0 / (inputs as f64).sqrt();
        let mut draw = |_| ((2.0 * draws.uniform() - 1.0) * bound) as f32;
        (name, (0..shape.iter().product::<usize>()).map(&mut draw).collect())
    };
    let mut tensors: Vec<(String, Vec<f32>)> = vec![
        (norm.0, vec![1.0; widths[0]]),
        (norm_bias.0, vec![0.0; widths[0]]),
        drawn(first, widths[0]),
        drawn(first_bias, widths[0]),
        drawn(second, widths[1]),
        drawn(second_bias, widths[1]),
    ];
    if let Some(scale) = settings.adapter_scale {
        let values = tensors.iter().map(|(_, values)| values.as_slice()).collect::<Vec<_>>();
        let measured = output_std(&values, widths, settings.seed);
        let factor = scale * (embedding_std(llm)? / measured) as f32;
        for (_, values) in &mut tensors[4..] {
            values.iter_mut().for_each(|value| *value *= factor);
        }
    }
    Ok(tensors.into_iter().collect())
}

/// Fits the adapter of a model to features like those to come, `[tokens, k²·c]`, its output to `scale`
/// standard deviations of the embedding table: see [`Adapter::fit`](crate::adapter::Adapter::fit).
/// A model without an encoder has none, and stays as it is.
pub fn fit_adapter(vlm: &mut Vlm, features: &Tensor, scale: f32) {
    let table: Vec<u32> = (0..vlm.llm.config().vocab_size).map(row_u32).collect();
    let spread = scale * std(vlm.llm.embed(&table).as_slice()) as f32;
    if let Some(images) = &mut vlm.images {
        images.adapter.fit(features, spread);
    }
}

/// The standard deviation of what the adapter makes of features whose norm has made them normal.
fn output_std(values: &[&[f32]], [features, hidden]: [usize; 2], seed: u64) -> f64 {
    let mut draws = Draws::new(seed, Draws::PROBES);
    let probes = (0..NUM_PROBES * features).map(|_| draws.normal() as f32).collect();
    let probes = Tensor::from_vec(probes, &[NUM_PROBES, features]);
    let linear = |x: &Tensor, weight: &[f32], bias: &[f32]| {
        let weight = Weight::pack(weight, hidden, x.cols(), DType::F32);
        ops::linear(x, &weight, Some(&Tensor::from_vec(bias.to_vec(), &[hidden])))
    };
    let wide = linear(&probes, values[2], values[3]);
    std(linear(&ops::gelu(&wide, Gelu::Erf), values[4], values[5]).as_slice())
}

fn embedding_std(llm: &LanguageModel) -> Result<f64, Error> {
    let shape = [llm.config.vocab_size, llm.config.hidden_size];
    let table = llm.checkpoint.read(&format!("{LLM_PREFIX}model.embed_tokens.weight"), &shape)?;
    Ok(std(&table))
}
