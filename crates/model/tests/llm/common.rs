//! Golden models, and a loss over a pack that every test shares.

use std::path::PathBuf;

use model::config::LlmConfig;
use model::layout::Layout;
use model::llm::{Keep, Llm};
use model::pack::Pack;
use model::weights::Checkpoint;
use tensor::ops::{self, LogProbs, Want};
use tensor::{DType, Gradients, Span, Tensor};
use testkit::Golden;

/// The golden models: tied and untied heads, biases, per-head norms.
pub(crate) const CASES: [&str; 3] = ["llama-tied", "qwen2-untied", "qwen3-tied"];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn reference(case: &str) -> Golden {
    Golden::open(path(case).join("reference.safetensors"))
}

pub(crate) fn config(case: &str) -> LlmConfig {
    LlmConfig::from_json(&testkit::json(path(case).join("config.json"))).unwrap()
}

pub(crate) fn load(case: &str, dtype: DType) -> Llm {
    let mut checkpoint = Checkpoint::open(&path(case)).unwrap();
    let llm = Llm::load(config(case), "", dtype, &mut checkpoint).unwrap();
    checkpoint.finish().unwrap();
    llm
}

pub(crate) fn token_ids(ids: &[i32]) -> Vec<u32> {
    ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()
}

/// The two golden sequences of 40 tokens.
pub(crate) fn sequences(case: &str) -> [Vec<u32>; 2] {
    let ids = token_ids(&reference(case).i32("input_ids"));
    [ids[..40].to_vec(), ids[40..].to_vec()]
}

/// Independent causal sequences of these lengths.
pub(crate) fn side_by_side(lens: &[usize]) -> Layout {
    let mut layout = Layout::default();
    for &len in lens {
        let rows = layout.len()..layout.len() + len;
        layout.positions.extend((0..len).map(|p| u32::try_from(p).unwrap()));
        layout.spans.push(Span { queries: rows.clone(), past: vec![], own: rows, causal: true });
    }
    layout
}

/// Log-probs of a pack's targets, without gradients.
pub(crate) fn log_probs(llm: &Llm, pack: &Pack) -> Vec<f32> {
    let hidden = llm.forward(llm.embed(&pack.ids), &pack.layout);
    let hidden = ops::gather_rows(&hidden, &pack.target_outputs());
    ops::log_probs(&hidden, llm.head(), &pack.target_ids(), 1.0, Want::LogProbs).log_prob
}

/// `Σ weight · log-prob` of a pack: its gradient with respect to the embeddings; those of
/// parameters are added to `grads`.
pub(crate) fn backward(
    llm: &Llm,
    pack: &Pack,
    weights: &[f32],
    keep: Keep,
    grads: &mut Gradients,
) -> Tensor {
    let (all, tape) = llm.forward_train(llm.embed(&pack.ids), &pack.layout, keep);
    let rows = pack.target_outputs();
    let hidden = ops::gather_rows(&all, &rows);
    let ids = pack.target_ids();
    let LogProbs { gradient, .. } = ops::log_probs(&hidden, llm.head(), &ids, 1.0, Want::Gradient);
    if let Some(head) = grads.get_mut(&llm.head_name()) {
        ops::log_probs_weight_gradient(&hidden, llm.head(), &ids, 1.0, weights, head);
    }
    let mut gradient = gradient.unwrap();
    ops::scale_rows(&mut gradient, weights);
    let mut dhidden = Tensor::zeros(all.shape());
    ops::scatter_add_rows(&mut dhidden, &rows, &gradient);
    let dx = llm.backward(tape, &dhidden, grads);
    llm.embed_backward(&pack.ids, &dx, grads);
    dx
}

/// Uneven weights, so that no symmetry hides an error.
pub(crate) fn uneven(num: usize) -> Vec<f32> {
    (0..num).map(|i| ((i * 37 % 11) as f32 - 4.0) / 20.0).collect()
}
