//! Attention over spans.

#![expect(clippy::single_range_in_vec_init, reason = "a past is a list of ranges")]

use std::ops::Range;

use super::{close, random, same_on_any_threads};
use kernels::attention::{self, Heads, Span};
use kernels::reference;

fn span(queries: Range<usize>, past: &[Range<usize>], own: Range<usize>, causal: bool) -> Span {
    Span { queries, past: past.to_vec(), own, causal }
}

const fn heads(query: usize, key_value: usize, dim: usize) -> Heads {
    Heads { query, key_value, dim }
}

/// Trees of a prefix and branches of `lengths`, one after another.
fn trees(count: usize, prefix: usize, lengths: &[usize]) -> Vec<Span> {
    let (mut spans, mut at) = (Vec::new(), 0);
    for _ in 0..count {
        let root = at..at + prefix;
        at = root.end;
        spans.push(span(root.clone(), &[], root.clone(), true));
        for length in lengths {
            spans.push(span(at..at + length, std::slice::from_ref(&root), at..at + length, true));
            at += length;
        }
    }
    spans
}

/// Queries of groups of `completions`, each after its prompt and `lengths` keys of its own.
fn decode(groups: usize, prompt: usize, lengths: &[usize]) -> Vec<Span> {
    let (mut spans, mut key) = (Vec::new(), 0);
    for _ in 0..groups {
        let past = key..key + prompt;
        key = past.end;
        for length in lengths {
            let query = spans.len()..spans.len() + 1;
            spans.push(span(query, std::slice::from_ref(&past), key..key + length, true));
            key += length;
        }
    }
    spans
}

fn layouts() -> Vec<(&'static str, Vec<Span>, Heads)> {
    vec![
        ("one row", vec![span(0..1, &[], 0..1, true)], heads(1, 1, 64)),
        ("trees", trees(3, 30, &[20, 7, 1, 33]), heads(9, 3, 64)),
        ("trees of one branch", trees(2, 65, &[64]), heads(4, 4, 24)),
        (
            "sequences",
            vec![span(0..200, &[], 0..200, true), span(200..331, &[], 200..331, true)],
            heads(6, 2, 16),
        ),
        (
            "vision",
            vec![span(0..17, &[], 0..17, false), span(17..34, &[], 17..34, false)],
            heads(6, 6, 64),
        ),
        ("long vision", vec![span(0..257, &[], 0..257, false)], heads(3, 3, 24)),
        ("wide", trees(1, 70, &[3, 90]), heads(2, 1, 128)),
        ("odd width", trees(1, 9, &[3, 100]), heads(5, 1, 37)),
        ("wider than a block", trees(1, 9, &[3, 80]), heads(2, 2, 72)),
        ("decode", decode(2, 150, &[1, 64, 65, 3, 200, 17]), heads(9, 3, 64)),
        ("decode, small heads", decode(1, 5, &[1; 30]), heads(4, 2, 24)),
        (
            "pieces of a past",
            vec![
                span(2..6, &[3..5, 9..30, 31..32], 40..47, true),
                span(0..1, &[0..3], 5..5, false),
            ],
            heads(2, 1, 16),
        ),
        ("prefill after a past", vec![span(0..50, &[7..90], 100..170, true)], heads(3, 1, 64)),
        ("no spans", vec![], heads(2, 1, 8)),
    ]
}

struct Problem {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
    spans: Vec<Span>,
    heads: Heads,
}

/// Results of both passes, on top of what was there.
type Outcome = [Vec<f32>; 5];

impl Problem {
    fn new(spans: Vec<Span>, heads: Heads, size: f32) -> Self {
        let queries = spans.iter().map(|s| s.queries.end).max().unwrap_or(0) + 2;
        let ends = spans.iter().flat_map(|s| s.past.iter().chain([&s.own])).map(|keys| keys.end);
        let keys = ends.max().unwrap_or(0) + 1;
        let (width, key_width) = (heads.query * heads.dim, heads.key_value * heads.dim);
        let scaled = |mut values: Vec<f32>| {
            values.iter_mut().for_each(|v| *v *= size);
            values
        };
        Self {
            q: scaled(random(queries * width, 1)),
            k: scaled(random(keys * key_width, 2)),
            v: random(keys * key_width, 3),
            dout: random(queries * width, 4),
            spans,
            heads,
        }
    }

    fn outcome(&self, fast: bool) -> Outcome {
        let (inputs, spans, heads) =
            ((&self.q[..], &self.k[..], &self.v[..]), &self.spans, self.heads);
        let rows = self.q.len() / heads.dim;
        let (mut out, mut logs) = (random(self.q.len(), 5), random(rows, 6));
        let (mut dq, mut dk, mut dv) =
            (random(self.q.len(), 7), random(self.k.len(), 8), random(self.k.len(), 9));
        let gradients = (&mut dq[..], &mut dk[..], &mut dv[..]);
        if fast {
            attention::forward(inputs, spans, heads, &mut out, &mut logs);
            attention::backward(&self.dout, inputs, (&out, &logs), spans, heads, gradients);
        } else {
            reference::attention::forward(inputs, spans, heads, &mut out, &mut logs);
            reference::attention::backward(&self.dout, inputs, spans, heads, gradients);
        }
        [out, logs, dq, dk, dv]
    }
}

pub(crate) fn like_the_slow_twin() {
    for (what, spans, heads) in layouts() {
        let problem = Problem::new(spans, heads, 1.0);
        let (fast, slow) = (problem.outcome(true), problem.outcome(false));
        for (name, (fast, slow)) in
            ["out", "logs", "dq", "dk", "dv"].iter().zip(fast.iter().zip(&slow))
        {
            close(fast, slow, 5e-6, &format!("{what}: {name}"));
        }
    }
}

/// Scores of some thousands: one key takes all, or two share.
pub(crate) fn extreme_scores() {
    for (what, spans, heads) in layouts() {
        let problem = Problem::new(spans, heads, 60.0);
        let (fast, slow) = (problem.outcome(true), problem.outcome(false));
        assert!(fast.iter().flatten().all(|v| v.is_finite()), "{what}");
        close(&fast[0], &slow[0], 2e-3, what);
        close(&fast[1], &slow[1], 1e-6, what);
        close(&fast[4], &slow[4], 2e-3, what);
    }
}

pub(crate) fn any_threads() {
    for (what, spans, heads) in layouts() {
        let problem = Problem::new(spans, heads, 1.0);
        same_on_any_threads(what, || problem.outcome(true).concat());
    }
}

/// A span's results have the same bits alone and among others.
pub(crate) fn company_changes_nothing() {
    for spans in [trees(3, 30, &[20, 7, 1, 33]), decode(2, 150, &[1, 64, 65, 3, 200, 17])] {
        let mut problem = Problem::new(spans, heads(9, 3, 64), 1.0);
        let all = problem.outcome(true);
        let width = 9 * 64;
        for span in problem.spans.clone() {
            problem.spans = vec![span.clone()];
            let alone = problem.outcome(true);
            for i in [0, 2] {
                let rows = span.queries.start * width..span.queries.end * width;
                assert_eq!(alone[i][rows.clone()], all[i][rows], "{span:?}");
            }
        }
    }
}

/// A query over the same 170 keys in a row, cut in many ways and in company of another.
pub(crate) fn how_keys_are_cut_changes_no_bit() {
    let last = |span: Span| {
        let other = Span { queries: 5..6, own: 200..203, ..span.clone() };
        let [alone, company] = [vec![span.clone()], vec![span.clone(), other]]
            .map(|spans| Problem::new(spans, heads(6, 2, 24), 1.0).outcome(true));
        let row = (span.queries.end - 1) * 6 * 24..span.queries.end * 6 * 24;
        assert_eq!(alone[0][row.clone()], company[0][row.clone()], "{span:?}");
        alone[0][row].to_vec()
    };
    let whole = last(span(0..1, &[], 0..170, true));
    for (past, own) in [
        (vec![0..37], 37..170),
        (vec![0..64], 64..170),
        (vec![0..37, 37..101], 101..170),
        (vec![0..100, 100..128], 128..170),
        (vec![0..169], 169..170),
    ] {
        assert_eq!(last(span(0..1, &past, own.clone(), true)), whole, "{past:?} {own:?}");
    }
    // The last of many queries, too.
    let many = last(span(0..5, &[], 0..170, true));
    assert_eq!(last(span(4..5, &[0..99], 99..170, true)), many);
}

/// What a task must not read: rows no span shows, even where they share a block.
pub(crate) fn unseen_rows_are_not_read() {
    let spans = trees(1, 30, &[20, 7]);
    let clean = Problem::new(spans.clone(), heads(3, 1, 24), 1.0);
    let mut dirty = Problem::new(spans, heads(3, 1, 24), 1.0);
    for rows in [&mut dirty.k, &mut dirty.v] {
        rows[57 * 24..].fill(f32::NAN);
    }
    assert_eq!(clean.outcome(true), dirty.outcome(true));
}

pub(crate) fn a_query_that_sees_nothing() {
    let problem = Problem::new(vec![span(0..2, &[], 0..0, false)], heads(2, 1, 16), 1.0);
    let [out, logs, ..] = problem.outcome(true);
    assert_eq!(out[..64], [0.0; 64]);
    assert_eq!(logs[..4], [f32::NEG_INFINITY; 4]);
}

pub(crate) fn bad_spans() {
    let spans = [
        vec![span(0..2, &[], 0..2, true), span(1..3, &[], 0..2, true)],
        vec![span(0..9, &[], 0..9, true)],
        vec![span(0..1, &[3..8], 0..1, true)],
        vec![span(0..2, &[], 0..1, true)],
    ];
    for spans in spans {
        let attempt = std::panic::catch_unwind(|| {
            let (mut out, mut logs) = ([0.0; 12], [0.0; 3]);
            let rows = [0.0; 12];
            attention::forward((&rows, &rows, &rows), &spans, heads(1, 1, 4), &mut out, &mut logs);
        });
        assert!(attempt.is_err(), "{spans:?}");
    }
}
