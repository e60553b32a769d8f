//! Grouped-query attention of a decoder block: forward, backward, and over a cache.

use tensor::ops::{self, Attended};
use tensor::{Gradients, Heads, RotaryTable, Span, Tensor};

use crate::cache::KeysValues;
use crate::projection::Projection;

/// Where a block's rows stand. In the last block only the rows whose hidden state is wanted are
/// queries; all rows are keys.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Rotation of every row.
    pub(crate) keys: &'a RotaryTable,
    /// Rotation of the query rows.
    pub(crate) queries: &'a RotaryTable,
    /// Spans of the query rows.
    pub(crate) spans: &'a [Span],
    /// The query rows; `None` is all.
    pub(crate) picked: Option<&'a [usize]>,
}

/// Weights of one attention layer.
pub(crate) struct Attention {
    /// Full name in the checkpoint, `….self_attn`.
    pub(crate) name: String,
    pub(crate) query: Projection,
    pub(crate) key: Projection,
    pub(crate) value: Projection,
    pub(crate) output: Projection,
    /// RMSNorm of queries and of keys per head (Qwen3), `[head_dim]` each.
    pub(crate) norms: Option<[Tensor; 2]>,
    pub(crate) heads: Heads,
    pub(crate) eps: f32,
}

/// What the backward pass needs of the forward pass.
pub(crate) struct AttentionTape {
    /// Queries and keys before their norm, where there is one, one row a head.
    before_norm: Option<[Tensor; 2]>,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attended: Attended,
}

struct Projected {
    before_norm: Option<[Tensor; 2]>,
    query: Tensor,
    key: Tensor,
    value: Tensor,
}

impl Attention {
    /// `[rows, hidden]` to `[queries, hidden]`, keeping what [`backward`](Self::backward) needs.
    pub(crate) fn forward(&self, x: &Tensor, rows: Rows) -> (Tensor, AttentionTape) {
        let Projected { before_norm, query, key, value } = self.project(x, rows);
        let attended = ops::attention(&query, &key, &value, rows.spans, self.heads);
        let y = self.output.forward(&attended.out);
        (y, AttentionTape { before_norm, query, key, value, attended })
    }

    /// As [`forward`](Self::forward) over cached keys and values, to which the rows' own are first
    /// written at `slots`.
    pub(crate) fn extend(
        &self,
        x: &Tensor,
        rows: Rows,
        slots: &[usize],
        cache: &mut KeysValues,
    ) -> Tensor {
        let Projected { query, key, value, .. } = self.project(x, rows);
        ops::write_rows(&mut cache.keys, slots, &key);
        ops::write_rows(&mut cache.values, slots, &value);
        let attended = ops::attention(&query, &cache.keys, &cache.values, rows.spans, self.heads);
        self.output.forward(&attended.out)
    }

    /// The gradient with respect to `x`, given that with respect to the output. `x` is wanted only
    /// where [`needs_input`](Self::needs_input) says so.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: Option<&Tensor>,
        tape: &AttentionTape,
        rows: Rows,
        grads: &mut Gradients,
    ) -> Tensor {
        let AttentionTape { query, key, value, attended, before_norm } = tape;
        let heads = self.heads;
        let dout = self.output.backward(dy, &attended.out, grads, &self.path("o_proj"));
        let (mut dquery, mut dkey, dvalue) =
            ops::attention_backward(&dout, (query, key, value), attended, rows.spans, heads);
        ops::rotary_backward(&mut dquery, heads.dim, rows.queries);
        ops::rotary_backward(&mut dkey, heads.dim, rows.keys);
        if let (Some([query_norm, key_norm]), Some([query, key])) = (&self.norms, before_norm) {
            let (dy, grad) = (self.per_head(dquery), grads.get_mut(&self.path("q_norm.weight")));
            dquery = ops::rms_norm_backward(&dy, query, query_norm, self.eps, grad);
            dquery = self.joined(dquery, heads.query);
            let (dy, grad) = (self.per_head(dkey), grads.get_mut(&self.path("k_norm.weight")));
            dkey = ops::rms_norm_backward(&dy, key, key_norm, self.eps, grad);
            dkey = self.joined(dkey, heads.key_value);
        }
        let mut dx = self.key.backward_from(&dkey, x, grads, &self.path("k_proj"));
        self.value.backward_add(&dvalue, x, &mut dx, grads, &self.path("v_proj"));
        self.query_backward(&dquery, x, &mut dx, rows, grads);
        dx
    }

    /// Whether any weight that trains needs the layer's input in the backward pass.
    pub(crate) fn needs_input(&self, grads: &Gradients) -> bool {
        [(&self.query, "q_proj"), (&self.key, "k_proj"), (&self.value, "v_proj")]
            .into_iter()
            .any(|(linear, part)| linear.needs_input(grads, &self.path(part)))
    }

    fn project(&self, x: &Tensor, rows: Rows) -> Projected {
        let Self { query, key, value, .. } = self;
        let [mut query, mut key, value] = match rows.picked {
            Some(picked) => {
                let [key, value] = Projection::forward_all([key, value], x);
                [query.forward(&ops::gather_rows(x, picked)), key, value]
            }
            None => Projection::forward_all([query, key, value], x),
        };
        let mut before_norm = None;
        if let Some([query_norm, key_norm]) = &self.norms {
            let (query_before, key_before) = (self.per_head(query), self.per_head(key));
            let normed = ops::rms_norm(&query_before, query_norm, self.eps);
            query = self.joined(normed, self.heads.query);
            let normed = ops::rms_norm(&key_before, key_norm, self.eps);
            key = self.joined(normed, self.heads.key_value);
            before_norm = Some([query_before, key_before]);
        }
        ops::rotary(&mut query, self.heads.dim, rows.queries);
        ops::rotary(&mut key, self.heads.dim, rows.keys);
        Projected { before_norm, query, key, value }
    }

    fn query_backward(
        &self,
        dquery: &Tensor,
        x: Option<&Tensor>,
        dx: &mut Tensor,
        rows: Rows,
        grads: &mut Gradients,
    ) {
        let name = self.path("q_proj");
        let Some(picked) = rows.picked else {
            return self.query.backward_add(dquery, x, dx, grads, &name);
        };
        let x = x.map(|x| ops::gather_rows(x, picked));
        let dpicked = self.query.backward_from(dquery, x.as_ref(), grads, &name);
        ops::scatter_add_rows(dx, picked, &dpicked);
    }

    /// One row a head, for the norms: `[rows, heads * dim]` to `[rows * heads, dim]`.
    fn per_head(&self, x: Tensor) -> Tensor {
        let num_heads = x.cols() / self.heads.dim;
        let shape = [x.rows() * num_heads, self.heads.dim];
        x.reshape(&shape)
    }

    /// Back from [`per_head`](Self::per_head).
    fn joined(&self, x: Tensor, num_heads: usize) -> Tensor {
        let shape = [x.rows() / num_heads, num_heads * self.heads.dim];
        x.reshape(&shape)
    }

    fn path(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}
