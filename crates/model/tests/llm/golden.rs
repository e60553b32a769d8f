//! Against transformers: logits, log-probs, loss, its gradient, and greedy tokens.

use model::cache::KvCache;
use model::layout::Layout;
use model::llm::{Keep, Llm};
use model::pack::Pack;
use tensor::{DType, Gradients, Span};
use testkit::{Tolerance, assert_close, assert_close_by_norm};

use crate::common::{
    CASES, backward, load, log_probs, reference, sequences, side_by_side, token_ids,
};

#[test]
fn logits() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let ids = sequences(case).concat();
        let logits = llm.logits(&llm.forward(llm.embed(&ids), &side_by_side(&[40, 40])));
        let want = reference(case).f32("logits");
        assert_close(case, logits.as_slice(), &want, Tolerance::absolute(1e-4));
    }
}

#[test]
fn bf16_weights_stay_near() {
    let llm = load("llama-tied", DType::Bf16);
    let ids = sequences("llama-tied").concat();
    let logits = llm.logits(&llm.forward(llm.embed(&ids), &side_by_side(&[40, 40])));
    let want = reference("llama-tied").f32("logits");
    assert_close_by_norm("bf16", logits.as_slice(), &want, 2e-2);
}

#[test]
fn target_log_probs() {
    for case in CASES {
        let mut pack = Pack::new();
        sequences(case).iter().for_each(|ids| pack.push_sequence(ids, &[], &[true; 40]));
        let got = log_probs(&load(case, DType::F32), &pack);
        let want = reference(case).f32("target_logprobs");
        assert_close(case, &got, &want, Tolerance::absolute(1e-4));
    }
}

#[test]
fn loss_and_its_gradient_with_respect_to_the_embeddings() {
    for case in CASES {
        let (llm, reference) = (load(case, DType::F32), reference(case));
        let mut pack = Pack::new();
        let marks: Vec<bool> = (0..40).map(|i| i > 20).collect();
        sequences(case).iter().for_each(|ids| pack.push_sequence(ids, &[], &marks));
        let num = pack.targets.len();
        let total: f64 = log_probs(&llm, &pack).iter().map(|&l| f64::from(-l)).sum();
        let loss = reference.f32("loss_last_20");
        assert_close(case, &[(total / num as f64) as f32], &loss, Tolerance::relative(1e-4));

        let weights = vec![-1.0 / num as f32; num];
        let got = backward(&llm, &pack, &weights, Keep::All, &mut Gradients::default());
        // The last token of each sequence has no row: nothing is predicted from it.
        let want = reference.f32("grad_input_embeds");
        let width = got.cols();
        let want = [&want[..39 * width], &want[40 * width..79 * width]].concat();
        assert_close_by_norm(case, got.as_slice(), &want, 1e-3);
    }
}

#[test]
fn greedy_tokens_through_the_cache() {
    for case in CASES {
        let want = token_ids(&reference(case).i32("greedy_ids"));
        let got = greedy(&load(case, DType::F32), &sequences(case)[0], want.len());
        assert_eq!(got, want, "{case}");
    }
}

#[test]
fn an_empty_pack_has_no_log_probs() {
    let llm = load("qwen3-tied", DType::F32);
    let pack = Pack::new();
    assert!(log_probs(&llm, &pack).is_empty());
    let dx = backward(&llm, &pack, &[], Keep::Inputs, &mut Gradients::default());
    assert!(dx.is_empty());
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let llm = load("llama-tied", DType::F32);
    assert!(llm.check_context(&Layout::causal(512)).is_ok());
    let error = llm.check_context(&Layout::causal(513)).unwrap_err();
    assert_eq!(error.to_string(), "sequence: 513 tokens, more than the model's context of 512");
}

/// Continues `prompt` to `len` tokens, the most likely one each time.
fn greedy(llm: &Llm, prompt: &[u32], len: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    let mut cache = KvCache::new(llm.config(), len);
    let mut seen = 0;
    while ids.len() < len {
        let layout = Layout {
            positions: (seen..ids.len()).map(|p| u32::try_from(p).unwrap()).collect(),
            spans: vec![Span {
                queries: 0..ids.len() - seen,
                past: vec![],
                own: 0..ids.len(),
                causal: true,
            }],
            slots: (seen..ids.len()).collect(),
            outputs: Some(vec![ids.len() - seen - 1]),
            ..Layout::default()
        };
        let logits = llm.logits(&llm.extend(llm.embed(&ids[seen..]), &layout, &mut cache));
        let best =
            (0..logits.cols()).max_by(|&a, &b| logits.row(0)[a].total_cmp(&logits.row(0)[b]));
        seen = ids.len();
        ids.push(u32::try_from(best.unwrap()).unwrap());
    }
    ids
}
