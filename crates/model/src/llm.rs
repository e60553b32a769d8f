//! The language model: token rows in, hidden states out; backward by hand, block by block.
//!
//! ```text
//!  x ─► block 0 ─► … ─► block n ─► norm ─► hidden       head: see Llm::head
//!        │ tape            │ tape                        (log-probs are `tensor::ops::log_probs`)
//!  dx ◄─ block 0 ◄─ … ◄─ block n ◄─ norm ◄─ dhidden
//! ```
//!
//! A block's tape is what its backward pass needs besides its input. It is kept, or dropped and
//! computed again from the input ([`Keep`]); both give the same bits.

use tensor::{DType, Gradients, RotaryTable, Span, Tensor, Weight, ops};

use crate::Error;
use crate::cache::KvCache;
use crate::config::LlmConfig;
use crate::layout::Layout;
use crate::weights::Checkpoint;

pub(crate) mod block;
pub(crate) mod attention;
pub(crate) mod mlp;
mod training;

use attention::Rows;
use block::{Block, BlockTape};
pub use training::LlmTraining;

/// A decoder-only language model.
pub struct Llm {
    config: LlmConfig,
    /// What precedes `model.` and `lm_head.` in its tensors' names.
    prefix: String,
    embedding: Weight,
    blocks: Vec<Block>,
    norm: Tensor,
    /// `None`: the head is the embedding table.
    head: Option<Weight>,
}

/// How much of the forward pass is kept for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every block's tape: fastest, most memory.
    All,
    /// Every block's input alone; its forward pass runs again in the backward pass.
    Inputs,
    /// Every block's input, and the tapes of as many of the last blocks as this many bytes hold.
    Budget(
        /// Bytes for inputs and tapes together.
        usize,
    ),
}

/// What [`Llm::backward`] needs of [`Llm::forward_train`].
pub struct LlmTape {
    frame: Frame,
    blocks: Vec<Kept>,
    /// Input of the final norm.
    last: Tensor,
}

/// A block's input and, if it is kept, its tape.
struct Kept {
    x: Tensor,
    tape: Option<BlockTape>,
}

/// Rotations and spans of a forward pass: of all rows, and of those the last block answers for.
struct Frame {
    rotary: RotaryTable,
    spans: Vec<Span>,
    picked: Option<Picked>,
}

struct Picked {
    rows: Vec<usize>,
    rotary: RotaryTable,
    spans: Vec<Span>,
}

impl Llm {
    /// Takes the model's tensors from a checkpoint, whose names begin with `prefix` (empty for a
    /// plain language model, `language_model.` inside InternVL). `dtype` is how matrices are stored
    /// in memory. The embedding table's rows, not the configuration, say how large the vocabulary
    /// is. A tied head that is stored all the same is skipped.
    ///
    /// # Errors
    ///
    /// When a tensor is missing, misshapen or unreadable.
    pub fn load(
        mut config: LlmConfig,
        prefix: &str,
        dtype: DType,
        checkpoint: &mut Checkpoint,
    ) -> Result<Self, Error> {
        let table = format!("{prefix}model.embed_tokens.weight");
        if let [rows, _] = checkpoint.shape(&table)?[..] {
            config.vocab_size = rows;
        }
        let (rows, hidden) = (config.vocab_size, config.hidden_size);
        let embedding = checkpoint.take_weight(&table, rows, hidden, dtype.of_tables())?;
        let block = |layer| {
            let name = format!("{prefix}model.layers.{layer}");
            Block::take(&config, name, dtype, checkpoint)
        };
        let blocks = (0..config.num_layers).map(block).collect::<Result<_, _>>()?;
        let norm = checkpoint.take_tensor(&format!("{prefix}model.norm.weight"), &[hidden])?;
        let head_name = format!("{prefix}lm_head.weight");
        let head = match config.tied_head {
            true => {
                checkpoint.skip(&head_name);
                None
            }
            false => Some(checkpoint.take_weight(&head_name, rows, hidden, dtype.of_tables())?),
        };
        Ok(Self { config, prefix: prefix.to_owned(), embedding, blocks, norm, head })
    }

    /// Shapes and constants, with the vocabulary size of the tensors.
    pub fn config(&self) -> &LlmConfig {
        &self.config
    }

    /// Fails if a sequence of this layout is longer than the model's context.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] with both lengths.
    pub fn check_context(&self, layout: &Layout) -> Result<(), Error> {
        let (len, longest) = (layout.num_positions(), self.config.max_positions);
        if len <= longest {
            return Ok(());
        }
        let reason = format!("{len} tokens, more than the model's context of {longest}");
        Err(Error::input("sequence", reason))
    }

    /// The embedding table's rows of `ids`, `[ids, hidden]`. Ids must be below the vocabulary size.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        self.embedding.gather(ids)
    }

    /// Adds the gradient of the embedding table, if it trains: `dx`, `[ids, hidden]`, is the
    /// gradient with respect to what [`embed`](Self::embed) gave for `ids`.
    pub fn embed_backward(&self, ids: &[u32], dx: &Tensor, grads: &mut Gradients) {
        if let Some(table) = grads.get_mut(&self.embedding_name()) {
            let rows: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
            ops::scatter_add_rows(table, &rows, dx);
        }
    }

    /// The head, `[vocabulary, hidden]`, that turns hidden states into logits.
    pub fn head(&self) -> &Weight {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Full name of the head's weight, which is the embedding table's if they are tied.
    pub fn head_name(&self) -> String {
        match self.head {
            Some(_) => format!("{}lm_head.weight", self.prefix),
            None => self.embedding_name(),
        }
    }

    /// Whether any parameter of the language model trains.
    pub(crate) fn trains(&self, grads: &Gradients) -> bool {
        ["model.", "lm_head."].iter().any(|part| grads.wants(&format!("{}{part}", self.prefix)))
    }

    /// Whether the embedding table trains.
    pub(crate) fn embedding_trains(&self, grads: &Gradients) -> bool {
        grads.get(&self.embedding_name()).is_some()
    }

    /// What precedes `model.` and `lm_head.` in its tensors' names.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Hidden states after the final norm, `[outputs, hidden]`, of the rows `x`, `[rows, hidden]`.
    pub fn forward(&self, x: Tensor, layout: &Layout) -> Tensor {
        let frame = Frame::new(&self.config, layout);
        let mut x = x;
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.finish(&block.attend(&x, frame.rows(self.is_last(layer))));
        }
        self.final_norm(&x)
    }

    /// As [`forward`](Self::forward), keeping what [`backward`](Self::backward) needs.
    pub fn forward_train(&self, x: Tensor, layout: &Layout, keep: Keep) -> (Tensor, LlmTape) {
        let frame = Frame::new(&self.config, layout);
        let kept_from = self.kept_from(layout, keep);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let mut x = x;
        for (layer, block) in self.blocks.iter().enumerate() {
            let mut tape = block.attend(&x, frame.rows(self.is_last(layer)));
            if layer >= kept_from {
                block.widen(&mut tape);
            }
            let y = block.finish(&tape);
            let tape = (layer >= kept_from).then_some(tape);
            blocks.push(Kept { x: std::mem::replace(&mut x, y), tape });
        }
        (self.final_norm(&x), LlmTape { frame, blocks, last: x })
    }

    /// The gradient with respect to the rows `x`, `[rows, hidden]`, given that with respect to the
    /// hidden states, `[outputs, hidden]`. Adds the gradients of the parameters that `grads` has;
    /// the embedding table and the head are the caller's ([`embed_backward`](Self::embed_backward),
    /// [`tensor::ops::log_probs_weight_gradient`]).
    pub fn backward(&self, tape: LlmTape, dhidden: &Tensor, grads: &mut Gradients) -> Tensor {
        let LlmTape { frame, blocks, last } = tape;
        let grad = grads.get_mut(&self.norm_name());
        let eps = self.config.rms_norm_eps;
        let mut dx = ops::rms_norm_backward(dhidden, &last, &self.norm, eps, grad);
        for (layer, (block, kept)) in self.blocks.iter().zip(blocks).enumerate().rev() {
            let rows = frame.rows(self.is_last(layer));
            let tape = kept.tape.unwrap_or_else(|| block.attend(&kept.x, rows));
            dx = block.backward(&dx, &kept.x, &tape, rows, grads);
        }
        dx
    }

    /// As [`forward`](Self::forward) with a cache: keys and values of the rows `x` are written to
    /// cache rows `layout.slots`, and `layout.spans` name the cache rows that are seen. A prompt is
    /// prefilled and tokens are decoded by the same call.
    pub fn extend(&self, x: Tensor, layout: &Layout, cache: &mut KvCache) -> Tensor {
        let frame = Frame::new(&self.config, layout);
        let mut x = x;
        for (layer, block) in self.blocks.iter().enumerate() {
            let rows = frame.rows(self.is_last(layer));
            x = block.extend(&x, rows, &layout.slots, cache.layer(layer));
        }
        self.final_norm(&x)
    }

    /// Logits of hidden states, `[rows, vocabulary]`: for sampling. Training goes through
    /// [`tensor::ops::log_probs`], which never holds them all.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        ops::linear(hidden, self.head(), None)
    }

    /// Bytes that [`forward_train`](Self::forward_train) keeps for this layout.
    pub fn tape_bytes(&self, layout: &Layout, keep: Keep) -> usize {
        let kept = self.blocks.len() - self.kept_from(layout, keep);
        self.input_bytes(layout.len()) + kept * self.config.block_tape_bytes(layout.len())
    }

    /// The first block whose tape is kept. The last blocks are the first to be let go in the
    /// backward pass, so that those kept do not add to what is computed again.
    fn kept_from(&self, layout: &Layout, keep: Keep) -> usize {
        let num_kept = match keep {
            Keep::All => self.blocks.len(),
            Keep::Inputs => 0,
            Keep::Budget(bytes) => {
                let left = bytes.saturating_sub(self.input_bytes(layout.len()));
                left / self.config.block_tape_bytes(layout.len()).max(1)
            }
        };
        self.blocks.len().saturating_sub(num_kept)
    }

    fn input_bytes(&self, rows: usize) -> usize {
        (self.blocks.len() + 1) * rows * self.config.hidden_size * size_of::<f32>()
    }

    fn final_norm(&self, x: &Tensor) -> Tensor {
        ops::rms_norm(x, &self.norm, self.config.rms_norm_eps)
    }

    fn is_last(&self, layer: usize) -> bool {
        layer + 1 == self.blocks.len()
    }

    fn embedding_name(&self) -> String {
        format!("{}model.embed_tokens.weight", self.prefix)
    }

    fn norm_name(&self) -> String {
        format!("{}model.norm.weight", self.prefix)
    }
}

impl Frame {
    fn new(config: &LlmConfig, layout: &Layout) -> Self {
        let wanted = layout.outputs.as_ref().filter(|rows| rows.len() < layout.len());
        let picked = wanted.map(|rows| Picked {
            rows: rows.clone(),
            rotary: rotary(config, layout, rows.iter().copied()),
            spans: layout.spans_of(rows),
        });
        let rotary = rotary(config, layout, 0..layout.len());
        Self { rotary, spans: layout.spans.clone(), picked }
    }

    /// The rows as a block sees them; the last block answers for the picked ones alone.
    fn rows(&self, last: bool) -> Rows<'_> {
        let all =
            Rows { keys: &self.rotary, queries: &self.rotary, spans: &self.spans, picked: None };
        match &self.picked {
            Some(picked) if last => Rows {
                queries: &picked.rotary,
                spans: &picked.spans,
                picked: Some(&picked.rows),
                ..all
            },
            _ => all,
        }
    }
}

/// Rotations of some of a layout's rows.
fn rotary(config: &LlmConfig, layout: &Layout, rows: impl Iterator<Item = usize>) -> RotaryTable {
    let (rope, dim) = (&config.rope, config.heads.dim);
    match &layout.axes {
        None => rope.table(&rows.map(|row| layout.positions[row]).collect::<Vec<_>>(), dim),
        Some(axes) => rope.table_of_axes(&rows.map(|row| axes[row]).collect::<Vec<_>>(), dim),
    }
}
