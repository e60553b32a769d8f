//! Prefill and decode through the cache.

use std::ops::Range;

use model::cache::KvCache;
use model::layout::Layout;
use model::llm::Llm;
use tensor::{DType, Device, Span, Tensor};
use testkit::{Tolerance, assert_close};

use crate::common::{CASES, load, sequences};

/// A sequence in the cache: shared prompt rows, and its own rows, of which `len` are filled.
struct Running {
    prompt: Range<usize>,
    first: usize,
    len: usize,
}

/// Decodes one token of each running sequence in one step; the hidden state of each.
fn step(llm: &Llm, cache: &mut KvCache, running: &mut [Running], ids: &[u32]) -> Tensor {
    let mut layout = Layout::default();
    for (row, sequence) in running.iter_mut().enumerate() {
        let slot = sequence.first + sequence.len;
        sequence.len += 1;
        layout.positions.push(u32::try_from(sequence.prompt.len() + sequence.len - 1).unwrap());
        layout.slots.push(slot);
        layout.spans.push(Span {
            queries: row..row + 1,
            past: vec![sequence.prompt.clone()],
            own: sequence.first..slot + 1,
            causal: true,
        });
    }
    llm.extend(llm.embed(ids), &layout, cache)
}

/// Puts a prompt into cache rows from `first` on.
fn prefill(llm: &Llm, cache: &mut KvCache, first: usize, ids: &[u32]) -> Tensor {
    let rows = first..first + ids.len();
    let mut layout = Layout::causal(ids.len());
    layout.spans[0].own = rows.clone();
    layout.slots = rows.collect();
    llm.extend(llm.embed(ids), &layout, cache)
}

#[test]
fn decode_equals_the_full_forward_pass() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let [ids, _] = sequences(case);
        let want = llm.forward(llm.embed(&ids), &Layout::causal(40));
        let mut cache = KvCache::new(llm.config(), 50);
        let mut got = prefill(&llm, &mut cache, 3, &ids[..17]).to_vec();
        let mut running = [Running { prompt: 3..20, first: 20, len: 0 }];
        for &id in &ids[17..] {
            got.extend(step(&llm, &mut cache, &mut running, &[id]).as_slice());
        }
        assert_close(case, &got, want.as_slice(), Tolerance::absolute(2e-5));
    }
}

#[test]
fn a_group_shares_its_prompt_rows() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let [prompt, other] = sequences(case);
        let (prompt, completions) = (&prompt[..12], [&other[..9], &other[20..29]]);
        let mut cache = KvCache::new(llm.config(), 12 + 2 * 9);
        prefill(&llm, &mut cache, 0, prompt);
        let mut running = [12, 21].map(|first| Running { prompt: 0..12, first, len: 0 });
        let mut got = [Vec::new(), Vec::new()];
        for (&a, &b) in completions[0].iter().zip(completions[1]) {
            let hidden = step(&llm, &mut cache, &mut running, &[a, b]);
            got[0].extend_from_slice(hidden.row(0));
            got[1].extend_from_slice(hidden.row(1));
        }
        for (got, completion) in got.iter().zip(completions) {
            let ids = [prompt, completion].concat();
            let want = llm.forward(llm.embed(&ids), &Layout::causal(ids.len()));
            let want = &want.as_slice()[12 * want.cols()..];
            assert_close(case, got, want, Tolerance::absolute(2e-5));
        }
    }
}

#[test]
fn a_sequence_decodes_to_the_same_bits_in_any_batch() {
    for case in CASES {
        let llm = load(case, DType::F32);
        let alone = decode_among(&llm, case, 0);
        for others in [1, 6, 20] {
            let among = decode_among(&llm, case, others);
            // On a card few rows and many go through different kernels.
            match Device::current() {
                Device::Cpu => assert_eq!(alone, among, "{case} with {others} others"),
                Device::Cuda(_) => assert_close(case, &among, &alone, Tolerance::absolute(2e-5)),
            }
        }
    }
}

/// Hidden states of one sequence decoded together with `others` of other lengths.
fn decode_among(llm: &Llm, case: &str, others: usize) -> Vec<f32> {
    let [prompt, ids] = sequences(case);
    let mut cache = KvCache::new(llm.config(), 40 * (others + 1));
    let mut running = Vec::new();
    for n in 0..=others {
        let len = if n == 0 { 12 } else { 1 + (7 * n) % 20 };
        prefill(llm, &mut cache, 40 * n, &prompt[..len]);
        running.push(Running { prompt: 40 * n..40 * n + len, first: 40 * n + len, len: 0 });
    }
    // The sequence watched stands last in some steps and first in others.
    let mut hidden = Vec::new();
    for i in 0..10 {
        let mut tokens: Vec<u32> = (0..=others).map(|n| ids[(i + n) % 40]).collect();
        let at = if i % 2 == 0 { 0 } else { others };
        running.swap(0, at);
        tokens.swap(0, at);
        hidden.extend_from_slice(step(llm, &mut cache, &mut running, &tokens).row(at));
        running.swap(0, at);
    }
    hidden
}
