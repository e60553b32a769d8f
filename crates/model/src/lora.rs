//! Low-rank adaptation of a linear layer, and its exchange with PEFT.
//!
//! Paper: LoRA, arXiv:2106.09685, equation 3: `h = W x + (α/r)·B A x`, B zero at the start.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use tensor::{DType, Gradients, Tensor, Weight, ops};

use crate::Error;
use crate::config::keys::Keys;
use crate::config::llm::Linear;
use crate::parameter::{Parameter, Part, PartMut};
use crate::weights::{Checkpoint, Staging, Stored, TensorSpec, save_file};

/// Size of the low-rank term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rank r.
    pub rank: usize,
    /// Scale α; the term is multiplied by α/r.
    pub alpha: f32,
}

/// The low-rank term of one linear layer.
pub struct Lora {
    /// A, `[rank, in]`.
    down: Weight,
    /// B, `[out, rank]`.
    up: Weight,
    config: LoraConfig,
}

impl Lora {
    /// A uniform in ±1/√in as PEFT draws it, B zero: the layer's output does not change.
    /// `stream` numbers the layer, so that its draws depend on no other layer.
    pub fn new(config: LoraConfig, [outputs, inputs]: [usize; 2], seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut draw = || {
            // 24 random bits: every f32 of that grid in [-1, 1) is equally likely.
            let unit = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
            unit * bound
        };
        let down: Vec<f32> = (0..config.rank * inputs).map(|_| draw()).collect();
        Self::from_values(config, [outputs, inputs], &down, &vec![0.0; outputs * config.rank])
    }

    /// Takes A and B of the layer `name` from a checkpoint.
    ///
    /// # Errors
    ///
    /// When a tensor is missing, misshapen or unreadable.
    pub(crate) fn take(
        config: LoraConfig,
        shape: [usize; 2],
        checkpoint: &mut Checkpoint,
        name: &str,
    ) -> Result<Self, Error> {
        let [outputs, inputs] = shape;
        let down = checkpoint.take(&down_name(name), &[config.rank, inputs])?;
        let up = checkpoint.take(&up_name(name), &[outputs, config.rank])?;
        Ok(Self::from_values(config, shape, &down, &up))
    }

    fn from_values(
        config: LoraConfig,
        [outputs, inputs]: [usize; 2],
        down: &[f32],
        up: &[f32],
    ) -> Self {
        Self {
            config,
            down: Weight::pack(down, config.rank, inputs, DType::F32),
            up: Weight::pack(up, outputs, config.rank, DType::F32),
        }
    }

    /// Rank and scale.
    pub fn config(&self) -> LoraConfig {
        self.config
    }

    fn scale(&self) -> f32 {
        self.config.alpha / self.config.rank as f32
    }

    /// Adds the term to the layer's output `y`, `[rows, out]`.
    pub(crate) fn add_forward(&self, x: &Tensor, y: &mut Tensor) {
        let mut term = ops::linear(&ops::linear(x, &self.down, None), &self.up, None);
        ops::scale(&mut term, self.scale());
        ops::add(y, &term);
    }

    /// Adds the term's part of the gradient to `dx` and, where `grads` has them, the gradients of
    /// A and B.
    pub(crate) fn backward_add(
        &self,
        dy: &Tensor,
        x: &Tensor,
        dx: &mut Tensor,
        grads: &mut Gradients,
        name: &str,
    ) {
        let mut scaled = dy.clone();
        ops::scale(&mut scaled, self.scale());
        if let Some(up) = grads.get_mut(&up_name(name)) {
            ops::weight_gradient(&scaled, &ops::linear(x, &self.down, None), up);
        }
        let inner = ops::linear_backward(&scaled, &self.up);
        if let Some(down) = grads.get_mut(&down_name(name)) {
            ops::weight_gradient(&inner, x, down);
        }
        ops::linear_backward_add(&inner, &self.down, dx);
    }

    /// Adds `(α/r)·B A` to the rows of a dense weight, `[out, in]`.
    pub(crate) fn add_to_dense(&self, rows: &mut [f32]) {
        let (down, up) = (self.down.unpack(), self.up.unpack());
        let scale = self.scale();
        let (inputs, rank) = (self.down.in_features(), self.up.in_features());
        for (row, factors) in rows.chunks_exact_mut(inputs).zip(up.chunks_exact(rank)) {
            for (&factor, basis) in factors.iter().zip(down.chunks_exact(inputs)) {
                let factor = factor * scale;
                row.iter_mut().zip(basis).for_each(|(value, &basis)| *value += factor * basis);
            }
        }
    }

    /// A and B by full name, given the layer's.
    pub fn parts(&self, name: &str) -> [(String, Part<'_>); 2] {
        [(down_name(name), Part::Matrix(&self.down)), (up_name(name), Part::Matrix(&self.up))]
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub fn parts_mut(&mut self, name: &str) -> [(String, PartMut<'_>); 2] {
        [
            (down_name(name), PartMut::Matrix(&mut self.down)),
            (up_name(name), PartMut::Matrix(&mut self.up)),
        ]
    }
}

fn down_name(name: &str) -> String {
    format!("{name}.lora_A.weight")
}

fn up_name(name: &str) -> String {
    format!("{name}.lora_B.weight")
}

/// What PEFT puts before every name.
const PEFT_PREFIX: &str = "base_model.model.";
const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// Writes an adapter folder in PEFT's layout; its two files appear together or not at all.
pub(crate) fn save(
    folder: &Path,
    config: LoraConfig,
    (base_model, prefix): (&str, &str),
    parameters: &[Parameter],
) -> Result<(), Error> {
    let staging = Staging::new(folder)?;
    let path = staging.path().join(CONFIG_FILE);
    let text = format!("{:#}\n", peft_config(config, base_model, prefix));
    std::fs::write(&path, text).map_err(Error::io(&path))?;
    let peft_name = |p: &Parameter| format!("{PEFT_PREFIX}{}", p.name);
    let specs: Vec<TensorSpec> =
        parameters.iter().map(|p| TensorSpec::new(peft_name(p), &p.shape, Stored::F32)).collect();
    let mut next = parameters.iter();
    save_file(&staging.path().join(WEIGHTS_FILE), &specs, |_| {
        Ok(next.next().expect("asked once a tensor, in order").values.clone())
    })?;
    staging.commit()
}

/// Opens an adapter folder in PEFT's layout: its size, and its tensors under the model's names.
pub(crate) fn open(folder: &Path) -> Result<(LoraConfig, Checkpoint), Error> {
    let path = folder.join(CONFIG_FILE);
    let text = std::fs::read(&path).map_err(Error::io(&path))?;
    let json: Value =
        serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
    let keys = Keys::new(&json, "adapter_config.json: ");
    for (key, plain) in
        [("use_dora", json!(false)), ("use_rslora", json!(false)), ("bias", json!("none"))]
    {
        if let Some(value) = keys.get(key).filter(|value| **value != plain) {
            return Err(keys.wrong(key, value, &plain.to_string()));
        }
    }
    let config = LoraConfig { rank: keys.usize("r")?, alpha: keys.f64("lora_alpha")? as f32 };
    if config.rank == 0 {
        return Err(keys.wrong("r", 0, "a positive number"));
    }
    let checkpoint = Checkpoint::open(&folder.join(WEIGHTS_FILE))?;
    Ok((config, checkpoint.without(PEFT_PREFIX)))
}

/// Inside a vision-language model the layers are named by a pattern, since encoders too have
/// layers called `q_proj`.
fn peft_config(config: LoraConfig, base_model: &str, prefix: &str) -> Value {
    let paths = Linear::ALL.map(Linear::path);
    let targets = match prefix {
        "" => json!(paths.map(|path| path.rsplit('.').next())),
        _ => {
            let escape = |text: &str| text.replace('.', r"\.");
            let (prefix, paths) = (escape(prefix), escape(&paths.join("|")));
            json!(format!(r"{prefix}model\.layers\.\d+\.({paths})"))
        }
    };
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "use_dora": false,
        "use_rslora": false,
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "inference_mode": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_inside_a_larger_model_are_named_by_a_pattern() {
        let config = LoraConfig { rank: 2, alpha: 4.0 };
        let inside = peft_config(config, "", "language_model.");
        let want = r"language_model\.model\.layers\.\d+\.(self_attn\.q_proj|self_attn\.k_proj|self_attn\.v_proj|self_attn\.o_proj|mlp\.gate_proj|mlp\.up_proj|mlp\.down_proj)";
        assert_eq!(inside["target_modules"], want);
        assert_eq!(peft_config(config, "", "")["target_modules"][6], "down_proj");
    }
}
