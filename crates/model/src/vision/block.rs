//! One block of the vision transformer: forward, and a backward that reruns it.
//!
//! ```text
//! x ─┬─ norm1 ─ qkv (─ q_norm, k_norm) ─ attention ─ output (· ls1) ─ + ─┬─ norm2 ─ fc1 ─ gelu ─ fc2 (· ls2) ─ +
//!    └────────────────────────────────────────────────────────────────┘ └─────────────────────────────────────┘
//! ```

use tensor::ops::{self, Attended, Gelu};
use tensor::{DType, Gradients, Heads, Span, Tensor};

use super::names::Names;
use super::qkv::Qkv;
use crate::Error;
use crate::config::VisionConfig;
use crate::config::vision::NormKind;
use crate::norm::Norm;
use crate::parameter::{Part, PartMut};
use crate::projection::Projection;
use crate::weights::Checkpoint;

/// A pre-norm transformer block.
pub(super) struct Block {
    /// Full name, such as `vision_model.encoder.layers.3`.
    name: String,
    names: &'static Names,
    heads: Heads,
    norm1: Norm,
    qkv: Qkv,
    /// RMSNorms of queries and keys over the full width.
    qk_norm: Option<[Norm; 2]>,
    output: Projection,
    scale1: Option<Tensor>,
    norm2: Norm,
    fc1: Projection,
    activation: Gelu,
    fc2: Projection,
    scale2: Option<Tensor>,
}

/// What the backward pass of the attention half needs of its forward pass.
struct AttentionHalf {
    normed: Tensor,
    /// Queries and keys before their norms, if they have any.
    unnormed: Option<[Tensor; 2]>,
    qkv: [Tensor; 3],
    attended: Attended,
    branch: Tensor,
}

/// What the backward pass of the MLP half needs of its forward pass.
struct MlpHalf {
    normed: Tensor,
    wide: Tensor,
    activated: Tensor,
    branch: Tensor,
}

impl Block {
    pub(super) fn take(
        checkpoint: &mut Checkpoint,
        config: &VisionConfig,
        names: &'static Names,
        name: String,
        dtype: DType,
    ) -> Result<Self, Error> {
        let (width, wide, eps) = (config.hidden_size, config.intermediate_size, config.norm_eps);
        let under = |part: &str| format!("{name}.{part}");
        let rms = |part: &str, checkpoint: &mut Checkpoint| {
            Norm::take(checkpoint, &under(part), width, NormKind::Rms, eps)
        };
        let qk_norm = match config.qk_norm {
            true => Some([rms("attn.q_norm", checkpoint)?, rms("attn.k_norm", checkpoint)?]),
            false => None,
        };
        let scale = |part: &str, checkpoint: &mut Checkpoint| match config.layer_scale {
            true => checkpoint.take_tensor(&under(part), &[width]).map(Some),
            false => Ok(None),
        };
        let linear = |part: &str, shape, checkpoint: &mut Checkpoint| {
            Projection::take(checkpoint, &under(part), shape, true, dtype)
        };
        let num_heads = config.num_heads;
        Ok(Self {
            names,
            heads: Heads { query: num_heads, key_value: num_heads, dim: width / num_heads },
            norm1: Norm::take(checkpoint, &under(names.norms[0]), width, config.norm, eps)?,
            qkv: Qkv::take(checkpoint, config, names.qkv, &name, dtype)?,
            qk_norm,
            output: linear(names.output, [width, width], checkpoint)?,
            scale1: scale(names.scales[0], checkpoint)?,
            norm2: Norm::take(checkpoint, &under(names.norms[1]), width, config.norm, eps)?,
            fc1: linear("mlp.fc1", [wide, width], checkpoint)?,
            activation: config.activation,
            fc2: linear("mlp.fc2", [width, wide], checkpoint)?,
            scale2: scale(names.scales[1], checkpoint)?,
            name,
        })
    }

    /// Rows `[tiles · tokens, c]` to the same; each tile attends within itself.
    pub(super) fn forward(&self, x: &Tensor, spans: &[Span]) -> Tensor {
        let middle = self.attention(x, spans).0;
        self.mlp(&middle).0
    }

    /// The gradient with respect to the block's input `x`, given that with respect to its output;
    /// reruns the forward pass from `x`. Adds the parameters' gradients that `grads` has.
    pub(super) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        spans: &[Span],
        grads: &mut Gradients,
    ) -> Tensor {
        let (middle, attention) = self.attention(x, spans);
        let (_, mlp) = self.mlp(&middle);
        let dmiddle = self.mlp_backward(dy, &middle, &mlp, grads);
        self.attention_backward(&dmiddle, x, &attention, spans, grads)
    }

    fn attention(&self, x: &Tensor, spans: &[Span]) -> (Tensor, AttentionHalf) {
        let normed = self.norm1.forward(x);
        let [mut q, mut k, v] = self.qkv.forward(&normed);
        let unnormed = self.qk_norm.as_ref().map(|[q_norm, k_norm]| {
            let (normed_q, normed_k) = (q_norm.forward(&q), k_norm.forward(&k));
            [std::mem::replace(&mut q, normed_q), std::mem::replace(&mut k, normed_k)]
        });
        let attended = ops::attention(&q, &k, &v, spans, self.heads);
        let branch = self.output.forward(&attended.out);
        let y = add_branch(x, &branch, self.scale1.as_ref());
        (y, AttentionHalf { normed, unnormed, qkv: [q, k, v], attended, branch })
    }

    fn mlp(&self, x: &Tensor) -> (Tensor, MlpHalf) {
        let normed = self.norm2.forward(x);
        let wide = self.fc1.forward(&normed);
        let activated = ops::gelu(&wide, self.activation);
        let branch = self.fc2.forward(&activated);
        let y = add_branch(x, &branch, self.scale2.as_ref());
        (y, MlpHalf { normed, wide, activated, branch })
    }

    fn attention_backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        half: &AttentionHalf,
        spans: &[Span],
        grads: &mut Gradients,
    ) -> Tensor {
        let scale_name = self.under(self.names.scales[0]);
        let dbranch = branch_backward(dy, &half.branch, self.scale1.as_ref(), &scale_name, grads);
        let output_name = self.under(self.names.output);
        let dout = self.output.backward(&dbranch, &half.attended.out, grads, &output_name);
        let [q, k, v] = &half.qkv;
        let (mut dq, mut dk, dv) =
            ops::attention_backward(&dout, (q, k, v), &half.attended, spans, self.heads);
        if let (Some([q_norm, k_norm]), Some([q, k])) = (&self.qk_norm, &half.unnormed) {
            dq = q_norm.backward(&dq, q, grads, &self.under("attn.q_norm"));
            dk = k_norm.backward(&dk, k, grads, &self.under("attn.k_norm"));
        }
        let dnormed = self.qkv.backward([&dq, &dk, &dv], &half.normed, grads, &self.name);
        let mut dx = self.norm1.backward(&dnormed, x, grads, &self.under(self.names.norms[0]));
        ops::add(&mut dx, dy);
        dx
    }

    fn mlp_backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        half: &MlpHalf,
        grads: &mut Gradients,
    ) -> Tensor {
        let scale_name = self.under(self.names.scales[1]);
        let dbranch = branch_backward(dy, &half.branch, self.scale2.as_ref(), &scale_name, grads);
        let dactivated =
            self.fc2.backward(&dbranch, &half.activated, grads, &self.under("mlp.fc2"));
        let dwide = ops::gelu_backward(&dactivated, &half.wide, self.activation);
        let dnormed = self.fc1.backward(&dwide, &half.normed, grads, &self.under("mlp.fc1"));
        let mut dx = self.norm2.backward(&dnormed, x, grads, &self.under(self.names.norms[1]));
        ops::add(&mut dx, dy);
        dx
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = self.norm1.parts(&self.under(self.names.norms[0]));
        parts.extend(self.qkv.parts(&self.name));
        if let Some([q, k]) = &self.qk_norm {
            parts.extend(q.parts(&self.under("attn.q_norm")));
            parts.extend(k.parts(&self.under("attn.k_norm")));
        }
        parts.extend(self.output.parts(&self.under(self.names.output)));
        parts.extend(self.norm2.parts(&self.under(self.names.norms[1])));
        parts.extend(self.fc1.parts(&self.under("mlp.fc1")));
        parts.extend(self.fc2.parts(&self.under("mlp.fc2")));
        for (scale, name) in [&self.scale1, &self.scale2].into_iter().zip(self.names.scales) {
            parts.extend(scale.iter().map(|scale| (self.under(name), Part::Plain(scale))));
        }
        parts
    }

    pub(super) fn parts_mut(&mut self) -> Vec<(String, PartMut<'_>)> {
        let (names, name) = (self.names, self.name.as_str());
        let under = |part: &str| format!("{name}.{part}");
        let mut parts = self.norm1.parts_mut(&under(names.norms[0]));
        parts.extend(self.qkv.parts_mut(name));
        if let Some([q, k]) = &mut self.qk_norm {
            parts.extend(q.parts_mut(&under("attn.q_norm")));
            parts.extend(k.parts_mut(&under("attn.k_norm")));
        }
        parts.extend(self.output.parts_mut(&under(names.output)));
        parts.extend(self.norm2.parts_mut(&under(names.norms[1])));
        parts.extend(self.fc1.parts_mut(&under("mlp.fc1")));
        parts.extend(self.fc2.parts_mut(&under("mlp.fc2")));
        for (scale, name) in [&mut self.scale1, &mut self.scale2].into_iter().zip(names.scales) {
            parts.extend(scale.iter_mut().map(|scale| (under(name), PartMut::Plain(scale))));
        }
        parts
    }

    fn under(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

/// Name and shape of the tensors that [`Block::take`] takes.
pub(super) fn tensors(
    config: &VisionConfig,
    names: &Names,
    block: &str,
) -> Vec<(String, Vec<usize>)> {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let mut tensors = Vec::new();
    let mut push = |name: &str, kind: &str, shape: &[usize]| {
        tensors.push((format!("{block}.{name}{kind}"), shape.to_vec()));
    };
    for norm in names.norms {
        push(norm, ".weight", &[width]);
        if config.norm == NormKind::Layer {
            push(norm, ".bias", &[width]);
        }
    }
    for (name, outputs) in names.qkv.outputs(width) {
        push(name, ".weight", &[outputs, width]);
        if config.qkv_bias {
            push(name, ".bias", &[outputs]);
        }
    }
    if config.qk_norm {
        push("attn.q_norm", ".weight", &[width]);
        push("attn.k_norm", ".weight", &[width]);
    }
    for (name, [outputs, inputs]) in
        [(names.output, [width, width]), ("mlp.fc1", [wide, width]), ("mlp.fc2", [width, wide])]
    {
        push(name, ".weight", &[outputs, inputs]);
        push(name, ".bias", &[outputs]);
    }
    if config.layer_scale {
        names.scales.iter().for_each(|scale| push(scale, "", &[width]));
    }
    tensors
}

/// `x + branch`, or `x + scale ⊙ branch`.
fn add_branch(x: &Tensor, branch: &Tensor, scale: Option<&Tensor>) -> Tensor {
    let mut y = x.clone();
    match scale {
        None => ops::add(&mut y, branch),
        Some(scale) => ops::add(&mut y, &ops::scale_columns(branch, scale)),
    }
    y
}

/// The gradient with respect to the branch, before its scale.
fn branch_backward(
    dy: &Tensor,
    branch: &Tensor,
    scale: Option<&Tensor>,
    scale_name: &str,
    grads: &mut Gradients,
) -> Tensor {
    match scale {
        None => dy.clone(),
        Some(scale) => ops::scale_columns_backward(dy, branch, scale, grads.get_mut(scale_name)),
    }
}
