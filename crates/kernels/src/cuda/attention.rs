//! Attention over spans: scores are never materialised (arXiv:2205.14135, arXiv:2307.08691).
//!
//! ```text
//!   spans ─► plan: tiles of queries and the keys they see, tiles of keys and the queries that see them
//!                      │
//!   a block a tile and head ─► scores ─► running softmax ─► sums          in f32, or in bf16 on tensor cores
//! ```
//!
//! A row of a result is written by one block alone: results do not change from run to run.

mod plan;

use crate::attention::{Heads, SHORT, Span};

use crate::cuda::compile::{ATTENTION_BF16, ATTENTION_DECODE, ATTENTION_F32, Source};
use crate::cuda::launch::{Grid, Launch, THREADS, int};
use crate::cuda::linear::{Bf16, to_bf16};
use crate::cuda::memory::Buffer;
use crate::cuda::{Arithmetic, Card};
use plan::{KeyTiles, QueryTiles};

/// Threads of a block where queries are few.
const DECODE_THREADS: u32 = 128;

/// Queries, keys or values as a kernel takes them.
enum Rows<'a> {
    F32(&'a Buffer),
    Bf16(Buffer<Bf16>),
}

/// The kernels for a head's width in an arithmetic.
struct Kernels {
    arithmetic: Arithmetic,
    source: &'static Source,
    /// What their names end in.
    ending: &'static str,
    /// Queries of a tile.
    queries: usize,
    /// Key rows of a tile.
    keys: usize,
    threads: u32,
    /// Bytes that a block shares: forward, gradient of queries, gradient of keys and values.
    shared: [usize; 3],
}

impl Kernels {
    fn of(arithmetic: Arithmetic, dim: usize) -> Self {
        assert!(dim <= 128, "heads of {dim} values: kernels take up to 128");
        match arithmetic {
            Arithmetic::F32 => Self::f32(dim),
            Arithmetic::Bf16 => Self::bf16(dim),
        }
    }

    fn f32(dim: usize) -> Self {
        // Rows lie an odd number of 16 bytes apart.
        let stride = 4 * (dim.div_ceil(4) | 1);
        let shared = [
            3 * 32 * stride + 32 * 33,
            4 * 32 * stride + 32 * 33,
            4 * 32 * stride + 2 * 32 * 33 + 64,
        ];
        Self {
            arithmetic: Arithmetic::F32,
            source: &ATTENTION_F32,
            ending: "f32",
            queries: 32,
            keys: 32,
            threads: THREADS,
            shared: shared.map(|values| 4 * values),
        }
    }

    fn bf16(dim: usize) -> Self {
        const WIDTHS: [(usize, &str); 6] = [
            (16, "bf16_16"),
            (32, "bf16_32"),
            (64, "bf16_64"),
            (80, "bf16_80"),
            (96, "bf16_96"),
            (128, "bf16_128"),
        ];
        let found = WIDTHS.iter().position(|(width, _)| dim.is_multiple_of(8) && dim <= *width);
        let (at, (width, ending)) =
            found.map_or((0, (128, "bf16_any")), |found| (found + 1, WIDTHS[found]));
        Self {
            arithmetic: Arithmetic::Bf16,
            source: &ATTENTION_BF16[at],
            ending,
            queries: 128,
            keys: 64,
            threads: 128,
            shared: [256 * width * 2, 320 * width * 2, 320 * width * 2 + 1024],
        }
    }

    /// A launch of one of the kernels, with what it reads first.
    fn launch<'a>(&self, card: &'a Card, kernel: &str, rows: &[&Rows]) -> Launch<'a> {
        let launch = Launch::new(card, self.source, format!("{kernel}_{}", self.ending));
        rows.iter().fold(launch, |launch, rows| launch.arg(rows.address()))
    }

    fn grid(&self, blocks: usize, kernel: usize) -> Grid {
        let shared = u32::try_from(self.shared[kernel]).expect("less than a card has");
        Grid { threads: self.threads, shared, ..Grid::of(blocks) }
    }
}

/// Softmax attention of every query over the keys its span shows; `out` and `log_sum_exp` come as zeros, which rows
/// of no span keep. Where every span is short, as in generation, this is [`decode`].
///
/// # Panics
/// If lengths disagree, or heads are wider than 128.
pub fn forward(
    rows: (&Buffer, &Buffer, &Buffer),
    spans: &[Span],
    heads: Heads,
    (out, log_sum_exp): (&mut Buffer, &mut Buffer),
) {
    if spans.iter().all(|span| span.queries.len() <= SHORT) {
        return decode(rows.0, &Cache::F32(rows.1, rows.2), spans, heads, (out, log_sum_exp));
    }
    let card = rows.0.card();
    let kernels = Kernels::of(card.arithmetic(), heads.dim);
    let QueryTiles { tiles, ranges } = plan::query_tiles(spans, kernels.queries);
    if tiles.is_empty() {
        return;
    }
    let [q, k, v] = [rows.0, rows.1, rows.2].map(|rows| Rows::of(rows, &kernels));
    let blocks = tiles.len() * heads.query;
    let (tiles, ranges) = (Buffer::upload(card, &tiles), Buffer::upload(card, &ranges));
    let launch = kernels.launch(card, "attention_forward", &[&q, &k, &v]);
    let launch = launch.arg(out).arg(log_sum_exp).arg(&tiles).arg(&ranges);
    with_heads(launch, heads).run(kernels.grid(blocks, 0));
}

/// Keys and values of all rows that were seen, as generation keeps them.
pub enum Cache<'a> {
    /// f32.
    F32(&'a Buffer, &'a Buffer),
    /// bf16.
    Bf16(&'a Buffer<Bf16>, &'a Buffer<Bf16>),
}

/// As [`forward`] for spans of few queries over long caches: what many spans have for a past is read once for all of
/// them, and many blocks share the keys of one query.
///
/// # Panics
/// As [`forward`], or if more than 64 query heads share a key-value head.
pub fn decode(
    q: &Buffer,
    cache: &Cache,
    spans: &[Span],
    heads: Heads,
    (out, log_sum_exp): (&mut Buffer, &mut Buffer),
) {
    let (card, group) = (q.card(), heads.query / heads.key_value);
    assert!(heads.dim <= 128 && group <= plan::UNIT_ROWS, "{heads:?} for decoding");
    let plan = plan::decode(spans, group);
    if plan.units.is_empty() {
        return;
    }
    let most = plan.units.iter().map(|[first, end, ..]| (end - first) as usize * group).max();
    let (kernel, k, v, shared) = match cache {
        Cache::F32(k, v) => {
            ("attention_decode_f32", k.address(), v.address(), decode_shared(heads.dim, 4, most))
        }
        Cache::Bf16(k, v) => {
            ("attention_decode_bf16", k.address(), v.address(), decode_shared(heads.dim, 8, most))
        }
    };
    let entries = plan.rows.len() * heads.query;
    let mut part_out = Buffer::<f32>::scratch(card, entries * heads.dim);
    let mut part_stats = Buffer::<f32>::scratch(card, entries * 2);
    let (units, ranges) = (Buffer::upload(card, &plan.units), Buffer::upload(card, &plan.ranges));
    let rows = Buffer::upload(card, &plan.rows);
    let launch = Launch::new(card, &ATTENTION_DECODE, kernel).arg(q).arg(k).arg(v);
    let launch = launch.arg(&mut part_out).arg(&mut part_stats).arg(&units).arg(&ranges).arg(&rows);
    let grid = Grid::of(plan.units.len() * heads.key_value);
    with_heads(launch, heads).run(Grid { threads: DECODE_THREADS, shared, ..grid });
    let (joins, parts) = (Buffer::upload(card, &plan.joins), Buffer::upload(card, &plan.parts));
    let warps = DECODE_THREADS as usize / 32;
    Launch::new(card, &ATTENTION_DECODE, "attention_decode_join")
        .arg(&part_out)
        .arg(&part_stats)
        .arg(out)
        .arg(log_sum_exp)
        .arg(&joins)
        .arg(&parts)
        .arg(int(plan.joins.len()))
        .arg(int(heads.query))
        .arg(int(heads.dim))
        .run(Grid {
            threads: DECODE_THREADS,
            ..Grid::of((plan.joins.len() * heads.query).div_ceil(warps))
        });
}

/// Bytes that a block of decoding shares, for caches with so many values in 16 bytes and units of `most` rows.
fn decode_shared(dim: usize, values: usize, most: Option<usize>) -> u32 {
    let (pieces, rows) = (dim.div_ceil(values), most.unwrap_or(0).next_multiple_of(8));
    let keys = 8 * values;
    let bytes =
        2 * keys * (pieces | 1) * 16 + rows * pieces * 4 * values + keys * (rows + 4) * 4 + 1024;
    u32::try_from(bytes).expect("less than a card has")
}

/// Gradient of [`forward`]: writes `dq`, `dk` and `dv`, which come as zeros.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    dout: &Buffer,
    rows: (&Buffer, &Buffer, &Buffer),
    (out, log_sum_exp): (&Buffer, &Buffer),
    (spans, heads): (&[Span], Heads),
    (dq, dk, dv): (&mut Buffer, &mut Buffer, &mut Buffer),
) {
    let card = rows.0.card();
    let kernels = Kernels::of(card.arithmetic(), heads.dim);
    let QueryTiles { tiles, ranges } = plan::query_tiles(spans, kernels.queries);
    if tiles.is_empty() {
        return;
    }
    let [q, k, v, dout] = [rows.0, rows.1, rows.2, dout].map(|rows| Rows::of(rows, &kernels));
    let delta = delta(&dout, out, heads);
    let launch = |kernel| {
        let launch = kernels.launch(card, kernel, &[&q, &k, &v, &dout]);
        launch.arg(log_sum_exp).arg(&delta)
    };
    let blocks = tiles.len() * heads.query;
    let (tiles, ranges) = (Buffer::upload(card, &tiles), Buffer::upload(card, &ranges));
    let of_queries = launch("attention_backward_query").arg(dq).arg(&tiles).arg(&ranges);
    with_heads(of_queries, heads).run(kernels.grid(blocks, 1));
    let KeyTiles { tiles, runs } = plan::key_tiles(spans, kernels.keys);
    let blocks = tiles.len() * heads.key_value;
    let (tiles, runs) = (Buffer::upload(card, &tiles), Buffer::upload(card, &runs));
    let of_keys = launch("attention_backward_key").arg(dk).arg(dv).arg(&tiles).arg(&runs);
    with_heads(of_keys, heads).run(kernels.grid(blocks, 2));
}

/// `Σ dout·out` of every query and head.
fn delta(dout: &Rows, out: &Buffer, heads: Heads) -> Buffer {
    let rows = out.len() / heads.dim;
    let mut delta = Buffer::scratch(out.card(), rows);
    let kernel = match dout {
        Rows::F32(_) => "attention_delta",
        Rows::Bf16(_) => "attention_delta_bf16",
    };
    Launch::new(out.card(), &ATTENTION_F32, kernel)
        .arg(dout.address())
        .arg(out)
        .arg(&mut delta)
        .arg(int(rows))
        .arg(int(heads.dim))
        .run(Grid::of(rows.div_ceil(THREADS as usize / 32)));
    delta
}

impl<'a> Rows<'a> {
    fn of(rows: &'a Buffer, kernels: &Kernels) -> Self {
        match kernels.arithmetic {
            Arithmetic::F32 => Self::F32(rows),
            Arithmetic::Bf16 => Self::Bf16(to_bf16(rows)),
        }
    }

    fn address(&self) -> u64 {
        match self {
            Self::F32(rows) => rows.address(),
            Self::Bf16(rows) => rows.address(),
        }
    }
}

fn with_heads<'a>(launch: Launch<'a>, heads: Heads) -> Launch<'a> {
    let scale = (1.0 / (heads.dim as f64).sqrt()) as f32;
    launch.arg(int(heads.query)).arg(int(heads.key_value)).arg(int(heads.dim)).arg(scale)
}
