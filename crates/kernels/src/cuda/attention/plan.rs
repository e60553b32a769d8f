//! Spans as flat tables that kernels read.
//!
//! ```text
//!  query tile ─► ranges of keys        forward and the gradient of queries: a block a tile and query head
//!  key tile   ─► runs of queries       gradients of keys and values: a block a tile and key-value head
//!  unit       ─► ranges of keys        decoding: a block a unit and key-value head, joined query by query
//! ```
//!
//! Who sees what is said in one way: query `i`, counted in its tile, run or unit, sees key row `r` of a range
//! if `r < limit + i·step`. Blocks write what no other block writes, so results do not depend on their order;
//! the heaviest come first, so that none of them starts when all others are done.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use crate::attention::Span;

/// Keys of one unit of decoding. Units are cut at multiples of it, counted from a query's first key, wherever
/// the past ends: how a sequence is split in past and own changes no result.
pub(super) const CHUNK: usize = 256;

/// Rows of scores (queries × heads of a group) that a unit of decoding has room for.
pub(super) const UNIT_ROWS: usize = 64;

/// Keys that queries of a tile or unit see: `[first, end, limit, step]`.
pub(super) type Keys = [i32; 4];

/// Tiles of queries, for [`query_tiles`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct QueryTiles {
    /// `[first query row, number of queries, first range, end of ranges]`.
    pub(super) tiles: Vec<[i32; 4]>,
    /// Key rows, in the order in which a query sees them.
    pub(super) ranges: Vec<Keys>,
}

/// Tiles of key rows, for [`key_tiles`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyTiles {
    /// `[first key row, end of key rows, first run, end of runs]`.
    pub(super) tiles: Vec<[i32; 4]>,
    /// `[first query row, end of query rows, limit, step, first key row, end of key rows, 0, 0]`.
    pub(super) runs: Vec<[i32; 8]>,
}

/// Units of decoding, for [`decode`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decode {
    /// `[first entry, end of entries, first range, end of ranges]`.
    pub(super) units: Vec<[i32; 4]>,
    /// Key rows of units.
    pub(super) ranges: Vec<Keys>,
    /// The query row of each entry: a unit's queries, one after another. A partial result is one entry's.
    pub(super) rows: Vec<i32>,
    /// `[query row, first part, end of parts, 0]` for each query.
    pub(super) joins: Vec<[i32; 4]>,
    /// The entries whose partial results make up a query's, in the order of its keys.
    pub(super) parts: Vec<i32>,
}

/// Up to `block` consecutive queries of one span each.
pub(super) fn query_tiles(spans: &[Span], block: usize) -> QueryTiles {
    let mut plan = QueryTiles::default();
    for span in spans {
        for from in (0..span.queries.len()).step_by(block) {
            let queries = from..span.queries.len().min(from + block);
            let (first, num) = (span.queries.start + from, queries.len());
            let start = plan.ranges.len();
            plan.ranges.extend(keys_of(span, queries));
            if plan.ranges.len() > start {
                plan.tiles.push([int(first), int(num), int(start), int(plan.ranges.len())]);
            }
        }
    }
    let weight = |tile: &[i32; 4]| num_keys(&plan.ranges[tile[2] as usize..tile[3] as usize]);
    plan.tiles.sort_by_key(|tile| Reverse(weight(tile)));
    plan
}

/// The keys that queries of a span see, neighbouring ranges merged, empty ones dropped.
fn keys_of(span: &Span, queries: Range<usize>) -> Vec<Keys> {
    let mut keys: Vec<Keys> = Vec::new();
    let past = span.past.iter().map(|past| [int(past.start), int(past.end), int(past.end), 0]);
    let start = span.own.start;
    let (limit, end) = (start + span.visible(queries.start), start + span.visible(queries.end - 1));
    let own = [int(start), int(end), int(limit), i32::from(span.causal)];
    for [first, end, limit, step] in past.chain([own]).filter(|keys| keys[0] < keys[1]) {
        match keys.last_mut() {
            Some(last) if last[1] == first => *last = [last[0], end, limit, step],
            _ => keys.push([first, end, limit, step]),
        }
    }
    keys
}

fn num_keys(keys: &[Keys]) -> usize {
    keys.iter().map(|keys| (keys[1] - keys[0]) as usize).sum()
}

/// Up to `block` consecutive key rows each; rows that no query sees are in no tile.
pub(super) fn key_tiles(spans: &[Span], block: usize) -> KeyTiles {
    let sights = sights(spans);
    let mut plan = KeyTiles::default();
    for keys in cut(&sights, block) {
        let start = plan.runs.len();
        for run in sights.iter().filter_map(|sight| sight.within(&keys)) {
            match plan.runs[start..].iter_mut().rfind(|before| goes_on(before, &run)) {
                Some(before) => before[1] = run[1],
                None => plan.runs.push(run),
            }
        }
        plan.tiles.push([int(keys.start), int(keys.end), int(start), int(plan.runs.len())]);
    }
    let weight = |tile: &[i32; 4]| -> i64 {
        let runs = &plan.runs[tile[2] as usize..tile[3] as usize];
        runs.iter().map(|run| i64::from(run[1] - run[0])).sum()
    };
    plan.tiles.sort_by_key(|tile| Reverse(weight(tile)));
    plan
}

/// A run of queries and one range of the keys it sees.
struct Sight {
    queries: Range<usize>,
    keys: Range<usize>,
    /// End of the key rows that the first query sees.
    limit: usize,
    /// How many more each next query sees.
    step: usize,
}

impl Sight {
    /// The part over some key rows, from the first query on that sees one of them.
    fn within(&self, rows: &Range<usize>) -> Option<[i32; 8]> {
        let keys = self.keys.start.max(rows.start)..self.keys.end.min(rows.end);
        if keys.is_empty() {
            return None;
        }
        let unseeing = (keys.start + 1).saturating_sub(self.limit) * self.step;
        let (first, limit) = (self.queries.start + unseeing, self.limit + unseeing);
        let values = [first, self.queries.end, limit, self.step, keys.start, keys.end, 0, 0];
        Some(values.map(int))
    }
}

/// Everything that is seen, by queries in order.
fn sights(spans: &[Span]) -> Vec<Sight> {
    let mut sights = Vec::new();
    for span in spans.iter().filter(|span| !span.queries.is_empty()) {
        let start = span.own.start;
        let past = span.past.iter().map(|past| (past.clone(), past.end, 0));
        let own = start..start + span.visible(span.queries.len() - 1);
        let own = (own, start + span.visible(0), usize::from(span.causal));
        for (keys, limit, step) in past.chain([own]).filter(|(keys, ..)| !keys.is_empty()) {
            sights.push(Sight { queries: span.queries.clone(), keys, limit, step });
        }
    }
    sights.sort_by_key(|sight| sight.queries.start);
    sights
}

/// Whether the queries of `next` follow those of `run`, see the same keys, and see all of them, as queries of
/// `run` would that came so late. So a prefix and its branches are one run.
fn goes_on(run: &[i32; 8], next: &[i32; 8]) -> bool {
    let &[first, end, limit, step, _, end_key, ..] = run;
    let late = limit + (end - first) * step;
    next[0] == end && next[4..6] == run[4..6] && next[2] >= end_key && late >= end_key
}

/// The seen key rows in tiles. Where other queries begin to see is where a tile ends, if the rows up to the
/// next such place do not fit: a tile's rows are then mostly seen by the same queries.
fn cut(sights: &[Sight], block: usize) -> Vec<Range<usize>> {
    let mut tiles: Vec<Range<usize>> = Vec::new();
    for rows in pieces(sights) {
        let start = match tiles.last_mut() {
            Some(last) if last.end == rows.start && rows.end - last.start <= block => {
                last.end = rows.end;
                continue;
            }
            _ => rows.start,
        };
        tiles.extend((start..rows.end).step_by(block).map(|at| at..rows.end.min(at + block)));
    }
    tiles
}

/// Seen key rows, cut wherever a range starts or ends.
fn pieces(sights: &[Sight]) -> Vec<Range<usize>> {
    let mut changes: Vec<(usize, i64)> = Vec::new();
    for Sight { keys, .. } in sights {
        changes.extend([(keys.start, 1), (keys.end, -1)]);
    }
    changes.sort_unstable();
    let (mut pieces, mut seen, mut from) = (Vec::new(), 0, 0);
    for (at, change) in changes {
        if seen > 0 && from < at {
            pieces.push(from..at);
        }
        (seen, from) = (seen + change, at);
    }
    pieces
}

/// Few queries against long caches: the whole chunks of a past are read once for all spans that have it.
pub(super) fn decode(spans: &[Span], group: usize) -> Decode {
    let mut builder = Builder::new((UNIT_ROWS / group).max(1));
    let mut families: Vec<Vec<&Span>> = Vec::new();
    let mut places = HashMap::new();
    for span in spans.iter().filter(|span| !span.queries.is_empty()) {
        let place = *places.entry(&span.past).or_insert(families.len());
        if place == families.len() {
            families.push(Vec::new());
        }
        families[place].push(span);
    }
    families.iter().for_each(|family| builder.add_family(family));
    builder.finish(spans)
}

/// A plan of decoding that is being put together.
struct Builder {
    plan: Decode,
    /// Queries of a unit.
    most: usize,
    /// The entries of each query row.
    entries: HashMap<usize, Vec<i32>>,
}

impl Builder {
    fn new(most: usize) -> Self {
        Self { plan: Decode::default(), most, entries: HashMap::new() }
    }

    /// Spans of the same past.
    fn add_family(&mut self, family: &[&Span]) {
        let past = num_past(family[0]);
        let shared = past - past % CHUNK;
        let rows: Vec<usize> = family.iter().flat_map(|span| span.queries.clone()).collect();
        let keys = keys_of(family[0], 0..1);
        for from in (0..shared).step_by(CHUNK) {
            let chunk: Vec<Keys> = part(&keys, from..from + CHUNK)
                .into_iter()
                .map(|[a, b, ..]| [a, b, b, 0])
                .collect();
            rows.chunks(self.most).for_each(|rows| self.add_unit(rows, &chunk));
        }
        family.iter().for_each(|span| self.add_rest(span, shared));
    }

    /// What a span sees behind the whole chunks of its past.
    fn add_rest(&mut self, span: &Span, shared: usize) {
        for first in (0..span.queries.len()).step_by(self.most) {
            let queries = first..span.queries.len().min(first + self.most);
            let rows: Vec<usize> = queries.clone().map(|i| span.queries.start + i).collect();
            let keys = keys_of(span, queries);
            for from in (shared..num_keys(&keys)).step_by(CHUNK) {
                self.add_unit(&rows, &part(&keys, from..from + CHUNK));
            }
        }
    }

    fn add_unit(&mut self, rows: &[usize], keys: &[Keys]) {
        let (entry, range) = (self.plan.rows.len(), self.plan.ranges.len());
        for (i, &row) in rows.iter().enumerate() {
            self.entries.entry(row).or_default().push(int(entry + i));
        }
        self.plan.rows.extend(rows.iter().map(|&row| int(row)));
        self.plan.ranges.extend(keys);
        let ends = (self.plan.rows.len(), self.plan.ranges.len());
        self.plan.units.push([int(entry), int(ends.0), int(range), int(ends.1)]);
    }

    fn finish(self, spans: &[Span]) -> Decode {
        let Self { mut plan, entries, .. } = self;
        for row in spans.iter().flat_map(|span| span.queries.clone()) {
            let first = plan.parts.len();
            plan.parts.extend(entries.get(&row).into_iter().flatten());
            plan.joins.push([int(row), int(first), int(plan.parts.len()), 0]);
        }
        let weight = |unit: &[i32; 4]| num_keys(&plan.ranges[unit[2] as usize..unit[3] as usize]);
        plan.units.sort_by_key(|unit| Reverse(weight(unit)));
        plan
    }
}

fn num_past(span: &Span) -> usize {
    span.past.iter().map(Range::len).sum()
}

/// The keys at some places, counted over all ranges.
fn part(keys: &[Keys], places: Range<usize>) -> Vec<Keys> {
    let mut before = 0;
    let piece = |&[first, end, limit, step]: &Keys| {
        let start = before;
        before += (end - first) as usize;
        let (low, high) = (start.max(places.start), before.min(places.end));
        let at = |place: usize| first + int(place - start);
        (low < high).then(|| [at(low), at(high), limit, step])
    };
    keys.iter().filter_map(piece).collect()
}

/// # Panics
/// If it exceeds 31 bits, which no row does.
fn int(value: usize) -> i32 {
    i32::try_from(value).expect("rows fit 31 bits")
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a past is a list of ranges")]
mod tests {
    use super::*;

    fn span(queries: Range<usize>, past: &[Range<usize>], own: Range<usize>) -> Span {
        Span { queries, past: past.to_vec(), own, causal: true }
    }

    /// A prefix with two branches, and a tree that has none.
    fn trees() -> Vec<Span> {
        vec![
            span(0..10, &[], 0..10),
            span(10..16, &[0..10], 10..16),
            span(16..19, &[0..10], 16..19),
            span(20..23, &[], 20..23),
        ]
    }

    /// Pairs of a query and a key it sees, in order.
    fn pairs(spans: &[Span]) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for span in spans {
            for (i, query) in span.queries.clone().enumerate() {
                let own = span.own.start..span.own.start + span.visible(i);
                let keys = span.past.iter().cloned().flatten().chain(own);
                pairs.extend(keys.map(|key| (query, key)));
            }
        }
        pairs.sort_unstable();
        pairs
    }

    fn seen(&[first, end, limit, step]: &Keys, i: usize) -> Range<usize> {
        first as usize..end.min(limit + i as i32 * step).max(first) as usize
    }

    fn pairs_of_units(plan: &Decode) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for &[entry, end, first, last] in &plan.units {
            for (i, &row) in plan.rows[entry as usize..end as usize].iter().enumerate() {
                let ranges = &plan.ranges[first as usize..last as usize];
                let keys = ranges.iter().flat_map(|keys| seen(keys, i));
                pairs.extend(keys.map(|key| (row as usize, key)));
            }
        }
        pairs.sort_unstable();
        pairs
    }

    /// Spans of many shapes, from a small generator of numbers.
    fn many(seed: u32) -> Vec<Span> {
        let mut state = seed;
        let mut below = |n: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % n
        };
        let (mut spans, mut at) = (Vec::new(), 0);
        for _ in 0..4 {
            let prefix = at..at + 1 + below(70);
            at = prefix.end + below(2);
            spans.push(span(prefix.clone(), &[], prefix.clone()));
            for _ in 0..below(5) {
                let own = at..at + 1 + below(40);
                at = own.end + below(2);
                let middle = prefix.start + below(prefix.len());
                let past = [prefix.start..middle, middle + below(2)..prefix.end];
                spans.push(Span { causal: below(3) > 0, ..span(own.clone(), &past, own) });
            }
        }
        spans
    }

    #[test]
    fn query_tiles_of_trees() {
        let plan = query_tiles(&trees(), 4);
        assert_eq!(plan.tiles[0], [14, 2, 4, 5]);
        assert_eq!(
            plan.ranges[4],
            [0, 16, 15, 1],
            "a prefix and the branch that follows it are one range"
        );
        assert_eq!(plan.ranges[5..7], [[0, 10, 10, 0], [16, 19, 17, 1]]);
        let weight = |tile: &[i32; 4]| num_keys(&plan.ranges[tile[2] as usize..tile[3] as usize]);
        let weights: Vec<usize> = plan.tiles.iter().map(weight).collect();
        assert!(weights.is_sorted_by(|a, b| a >= b), "{weights:?}");
    }

    #[test]
    fn key_tiles_of_trees() {
        let plan = key_tiles(&trees(), 8);
        let tiles: Vec<[i32; 2]> = plan.tiles.iter().map(|tile| [tile[0], tile[1]]).collect();
        assert_eq!(tiles, [[0, 8], [8, 16], [16, 19], [20, 23]]);
        assert_eq!(
            plan.runs[0],
            [0, 19, 1, 1, 0, 8, 0, 0],
            "a prefix and its branches are one run"
        );
        assert_eq!(plan.runs[1], [8, 19, 9, 1, 8, 10, 0, 0]);
        assert_eq!(plan.runs[2], [10, 16, 11, 1, 10, 16, 0, 0]);
    }

    #[test]
    fn tiles_show_what_spans_show() {
        for seed in 0..50 {
            let spans = many(seed);
            let expected = pairs(&spans);
            let mut by_query = Vec::new();
            let plan = query_tiles(&spans, 16);
            for &[first, num, start, end] in &plan.tiles {
                for i in 0..num as usize {
                    let ranges = &plan.ranges[start as usize..end as usize];
                    let keys = ranges.iter().flat_map(|keys| seen(keys, i));
                    by_query.extend(keys.map(|key| (first as usize + i, key)));
                }
            }
            by_query.sort_unstable();
            assert_eq!(by_query, expected);
            let mut by_key = Vec::new();
            let plan = key_tiles(&spans, 16);
            for &[first_key, end_key, start, end] in &plan.tiles {
                assert!(end_key - first_key <= 16);
                for &[first, last, limit, step, from, to, ..] in
                    &plan.runs[start as usize..end as usize]
                {
                    assert!(first_key <= from && to <= end_key);
                    for query in first..last {
                        let keys = seen(&[from, to, limit, step], (query - first) as usize);
                        assert!(!keys.is_empty());
                        by_key.extend(keys.map(|key| (query as usize, key)));
                    }
                }
            }
            by_key.sort_unstable();
            assert_eq!(by_key, expected);
        }
    }

    #[test]
    fn short_spans_share_their_past() {
        let spans: Vec<Span> = (0..20)
            .map(|i| span(i..i + 1, &[0..300, 400..700], 1000 + i * 9..1005 + i * 9))
            .collect();
        let plan = decode(&spans, 7);
        let sizes: Vec<i32> = plan.units.iter().map(|unit| unit[1] - unit[0]).collect();
        assert_eq!(sizes[..6], [9, 9, 2, 9, 9, 2]);
        assert_eq!(sizes.len(), 6 + 20);
        let [_, _, first, end] = plan.units[3];
        let ranges = &plan.ranges[first as usize..end as usize];
        assert_eq!(ranges, [[256, 300, 300, 0], [400, 612, 612, 0]]);
        let [_, _, first, end] = plan.units[25];
        let ranges = &plan.ranges[first as usize..end as usize];
        assert_eq!(ranges, [[612, 700, 700, 0], [1171, 1176, 1176, 1]]);
        assert_eq!(plan.joins[19], [19, 57, 60, 0]);
        assert_eq!(pairs_of_units(&plan), pairs(&spans));
    }

    #[test]
    fn units_do_not_depend_on_where_the_past_ends() {
        let plan = |past: usize| decode(&[span(0..3, &[0..past], past..900)], 1);
        let keys = |plan: Decode| {
            let ends = |keys: &Keys| (0..3).map(|i| seen(keys, i).end).collect::<Vec<_>>();
            plan.ranges.iter().map(|keys| (keys[0], ends(keys))).collect::<Vec<_>>()
        };
        assert_eq!(keys(plan(10)), keys(plan(800)));
        assert_eq!(keys(plan(0)), keys(plan(512)));
    }

    #[test]
    fn nothing_to_see() {
        let blind = [Span { causal: false, ..span(0..3, &[], 0..0) }];
        assert_eq!(query_tiles(&blind, 4), QueryTiles::default());
        assert_eq!(key_tiles(&blind, 4), KeyTiles::default());
        let plan = decode(&blind, 1);
        assert_eq!((plan.units.len(), plan.joins.len()), (0, 3));
    }
}
