//! One decoder block: pre-norm attention and SwiGLU on a residual stream.
//!
//! ```text
//!  x ─┬─ norm ─ attention ─ + ─ middle ─┬─ norm ─ mlp ─ + ─ y
//!     └───────────────────── ┘          └─────────────── ┘
//! ```
//!
//! The backward pass needs `x`, what attention and the wide layers gave, and `middle`. Norms,
//! residual sums and the SwiGLU's product are computed again where they are needed. A block whose wide layers are not
//! kept goes through them some rows at a time, in both directions, so that they never hold all rows.

use tensor::{DType, Gradients, Tensor, ops};

use super::attention::{Attention, AttentionTape, Rows};
use super::mlp::{Mlp, MlpTape};
use crate::Error;
use crate::cache::KeysValues;
use crate::config::LlmConfig;
use crate::config::llm::Linear;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// Rows that go through the wide layers at a time where those are not kept.
pub(crate) const ROWS_AT_ONCE: usize = 1024;

/// Weights of one block.
pub(crate) struct Block {
    /// Full name in the checkpoint, `….layers.N`.
    name: String,
    before_attention: Tensor,
    attention: Attention,
    before_mlp: Tensor,
    mlp: Mlp,
    eps: f32,
}

/// What the backward pass needs besides the block's input.
pub(crate) struct BlockTape {
    attention: AttentionTape,
    /// The residual stream between attention and MLP, `[queries, hidden]`.
    middle: Tensor,
    /// What the wide layers gave, if it is kept.
    mlp: Option<MlpTape>,
}

impl Block {
    /// Takes the block's tensors from a checkpoint.
    pub(crate) fn take(
        config: &LlmConfig,
        name: String,
        dtype: DType,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, Error> {
        let mut linear = |linear: Linear| {
            let path = format!("{name}.{}", linear.path());
            Projection::take(
                checkpoint,
                &path,
                linear.shape(config),
                linear.has_bias(config),
                dtype,
            )
        };
        let mlp = Mlp {
            name: format!("{name}.mlp"),
            gate: linear(Linear::Gate)?,
            up: linear(Linear::Up)?,
            down: linear(Linear::Down)?,
        };
        let [query, key, value, output] = [
            linear(Linear::Query)?,
            linear(Linear::Key)?,
            linear(Linear::Value)?,
            linear(Linear::Output)?,
        ];
        let mut norm = |part: &str, len: usize| {
            checkpoint.take_tensor(&format!("{name}.{part}.weight"), &[len])
        };
        let norms = match config.qk_norm {
            true => Some([
                norm("self_attn.q_norm", config.heads.dim)?,
                norm("self_attn.k_norm", config.heads.dim)?,
            ]),
            false => None,
        };
        let before_attention = norm("input_layernorm", config.hidden_size)?;
        let before_mlp = norm("post_attention_layernorm", config.hidden_size)?;
        let (heads, eps) = (config.heads, config.rms_norm_eps);
        let attention_name = format!("{name}.self_attn");
        let attention =
            Attention { name: attention_name, query, key, value, output, norms, heads, eps };
        Ok(Self::new(name, [before_attention, before_mlp], attention, mlp))
    }

    /// A block of parts that were taken elsewhere; the norms stand before attention and MLP.
    pub(crate) fn new(name: String, norms: [Tensor; 2], attention: Attention, mlp: Mlp) -> Self {
        let [before_attention, before_mlp] = norms;
        let eps = attention.eps;
        Self { name, before_attention, attention, before_mlp, mlp, eps }
    }

    /// The norms before attention and MLP.
    pub(crate) fn norms(&self) -> [&Tensor; 2] {
        [&self.before_attention, &self.before_mlp]
    }

    /// The forward pass as far as the MLP.
    pub(crate) fn attend(&self, x: &Tensor, rows: Rows) -> BlockTape {
        let normed = ops::rms_norm(x, &self.before_attention, self.eps);
        let (mut middle, attention) = self.attention.forward(&normed, rows);
        add_residual(&mut middle, x, rows);
        BlockTape { attention, middle, mlp: None }
    }

    /// The dear half of the MLP, to be kept for the backward pass.
    pub(crate) fn widen(&self, tape: &mut BlockTape) {
        tape.mlp = Some(self.widened(&tape.middle));
    }

    /// The block's output, `[queries, hidden]`.
    pub(crate) fn finish(&self, tape: &BlockTape) -> Tensor {
        match &tape.mlp {
            Some(mlp) => self.narrowed(&tape.middle, mlp),
            None => ops::by_rows([&tape.middle], ROWS_AT_ONCE, |[middle]| self.through_mlp(middle)),
        }
    }

    /// The whole forward pass over cached keys and values.
    pub(crate) fn extend(
        &self,
        x: &Tensor,
        rows: Rows,
        slots: &[usize],
        cache: &mut KeysValues,
    ) -> Tensor {
        let normed = ops::rms_norm(x, &self.before_attention, self.eps);
        let mut middle = self.attention.extend(&normed, rows, slots, cache);
        add_residual(&mut middle, x, rows);
        ops::by_rows([&middle], ROWS_AT_ONCE, |[middle]| self.through_mlp(middle))
    }

    /// The MLP, its norm and its residual sum.
    fn through_mlp(&self, middle: &Tensor) -> Tensor {
        self.narrowed(middle, &self.widened(middle))
    }

    fn widened(&self, middle: &Tensor) -> MlpTape {
        self.mlp.widen(&ops::rms_norm(middle, &self.before_mlp, self.eps))
    }

    fn narrowed(&self, middle: &Tensor, mlp: &MlpTape) -> Tensor {
        let mut y = self.mlp.narrow(mlp);
        ops::add(&mut y, middle);
        y
    }

    /// The gradient with respect to the block's input `x`, given that with respect to its output.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        tape: &BlockTape,
        rows: Rows,
        grads: &mut Gradients,
    ) -> Tensor {
        let dmiddle = self.mlp_backward(dy, tape, grads);
        let normed = self
            .attention
            .needs_input(grads)
            .then(|| ops::rms_norm(x, &self.before_attention, self.eps));
        let dnormed =
            self.attention.backward(&dmiddle, normed.as_ref(), &tape.attention, rows, grads);
        let grad = grads.get_mut(&format!("{}.input_layernorm.weight", self.name));
        let mut dx = ops::rms_norm_backward(&dnormed, x, &self.before_attention, self.eps, grad);
        match rows.picked {
            Some(picked) => ops::scatter_add_rows(&mut dx, picked, &dmiddle),
            None => ops::add(&mut dx, &dmiddle),
        }
        dx
    }

    /// Through the MLP and its norm, residual included. Where a weight of the block trains all rows go at once, so
    /// that its gradient is one sum.
    fn mlp_backward(&self, dy: &Tensor, tape: &BlockTape, grads: &mut Gradients) -> Tensor {
        let BlockTape { middle, mlp, .. } = tape;
        if let Some(mlp) = mlp {
            return self.widened_backward(dy, middle, mlp, grads);
        }
        let at_once =
            if grads.wants(&format!("{}.", self.name)) { dy.rows() } else { ROWS_AT_ONCE };
        ops::by_rows([dy, middle], at_once, |[dy, middle]| {
            self.widened_backward(dy, middle, &self.widened(middle), grads)
        })
    }

    fn widened_backward(
        &self,
        dy: &Tensor,
        middle: &Tensor,
        mlp: &MlpTape,
        grads: &mut Gradients,
    ) -> Tensor {
        let normed =
            self.mlp.needs_input(grads).then(|| ops::rms_norm(middle, &self.before_mlp, self.eps));
        let dnormed = self.mlp.backward(dy, normed.as_ref(), mlp, grads);
        let grad = grads.get_mut(&format!("{}.post_attention_layernorm.weight", self.name));
        let mut dmiddle =
            ops::rms_norm_backward(&dnormed, middle, &self.before_mlp, self.eps, grad);
        ops::add(&mut dmiddle, dy);
        dmiddle
    }

    /// The seven linear layers with their full names.
    pub(crate) fn linears(&self) -> [(String, &Projection); 7] {
        let Attention { query, key, value, output, .. } = &self.attention;
        let Mlp { gate, up, down, .. } = &self.mlp;
        let layers = [query, key, value, output, gate, up, down];
        std::array::from_fn(|i| (format!("{}.{}", self.name, Linear::ALL[i].path()), layers[i]))
    }

    /// As [`linears`](Self::linears), to be changed.
    pub(crate) fn linears_mut(&mut self) -> [(String, &mut Projection); 7] {
        let Attention { query, key, value, output, .. } = &mut self.attention;
        let Mlp { gate, up, down, .. } = &mut self.mlp;
        let mut at = Linear::ALL.iter().map(|linear| format!("{}.{}", self.name, linear.path()));
        [query, key, value, output, gate, up, down]
            .map(|layer| (at.next().expect("seven names for seven layers"), layer))
    }

    /// All parameters but low-rank ones, with their full names.
    pub(crate) fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = vec![
            (self.norm_name("input_layernorm"), Part::Plain(&self.before_attention)),
            (self.norm_name("post_attention_layernorm"), Part::Plain(&self.before_mlp)),
        ];
        if let Some([query, key]) = &self.attention.norms {
            parts.push((self.norm_name("self_attn.q_norm"), Part::Plain(query)));
            parts.push((self.norm_name("self_attn.k_norm"), Part::Plain(key)));
        }
        parts.extend(self.linears().into_iter().flat_map(|(name, linear)| linear.parts(&name)));
        parts
    }

    /// All parameters, low-rank ones included, to be replaced.
    pub(crate) fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let Self { name, before_attention, attention, before_mlp, mlp, .. } = self;
        let Attention { query, key, value, output, norms, .. } = attention;
        let Mlp { gate, up, down, .. } = mlp;
        let norm = |part: &str| format!("{name}.{part}.weight");
        let mut parts = vec![
            (norm("input_layernorm"), PartMut::Plain(before_attention)),
            (norm("post_attention_layernorm"), PartMut::Plain(before_mlp)),
        ];
        if let Some([query, key]) = norms {
            parts.push((norm("self_attn.q_norm"), PartMut::Plain(query)));
            parts.push((norm("self_attn.k_norm"), PartMut::Plain(key)));
        }
        let layers = [query, key, value, output, gate, up, down];
        for (linear, layer) in Linear::ALL.iter().zip(layers) {
            parts.extend(layer.parts_mut(&format!("{name}.{}", linear.path())));
        }
        parts
    }

    fn norm_name(&self, part: &str) -> String {
        format!("{}.{part}.weight", self.name)
    }
}

fn add_residual(branch: &mut Tensor, x: &Tensor, rows: Rows) {
    match rows.picked {
        Some(picked) => ops::add(branch, &ops::gather_rows(x, picked)),
        None => ops::add(branch, x),
    }
}
