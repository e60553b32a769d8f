//! Cutting spans into tasks, by the spans alone.

use std::collections::HashMap;
use std::ops::Range;

use super::Span;
use crate::product::WIDTH;

/// Rows of scores (queries × heads of a group) a task aims at: with 64 keys, half of the
/// first-level cache.
const ROWS: usize = 96;
/// Spans of up to this many queries, decoding, share the work on a past they share.
pub(crate) const SHORT: usize = 4;
/// Queries of short spans that share a task.
const SHARING: usize = 16;

/// Queries computed together and the keys they see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Rows of the query matrix.
    pub(super) queries: Vec<usize>,
    /// A query's keys are those of all pieces that hold it, in order.
    pub(super) pieces: Vec<Piece>,
}

/// Keys that some of a task's queries see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The queries, as indices into the task's.
    pub(super) queries: Range<usize>,
    /// Key rows in order.
    pub(super) keys: Vec<Range<usize>>,
    /// How many of the keys the first query sees; the last sees no more than there are.
    pub(super) first: usize,
    /// How many more each next query sees.
    pub(super) step: usize,
}

impl Piece {
    /// How many of the keys any query sees.
    pub(super) fn len(&self) -> usize {
        if self.queries.is_empty() { 0 } else { self.first + self.step * (self.queries.len() - 1) }
    }

    /// The first of the piece's queries, counted in the piece, that sees key `at`.
    pub(super) fn first_to_see(&self, at: usize) -> usize {
        match self.step {
            0 => 0,
            step => (at + 1).saturating_sub(self.first).div_ceil(step),
        }
    }

    /// The key rows `from .. to` of the piece: `(place counted from `from`, rows)`.
    pub(super) fn segments(
        &self,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        let mut before = 0;
        self.keys.iter().filter_map(move |keys| {
            let start = before;
            before += keys.len();
            let (low, high) = (start.max(from), before.min(to));
            (low < high).then(|| (low - from, keys.start + low - start..keys.start + high - start))
        })
    }
}

/// All spans as tasks, the short ones gathered.
///
/// Blocks of keys are counted from a query's first, whatever is past and whatever its own: how a
/// sequence is cut, and who else shares a part of it, changes no bit of a result.
pub(super) fn tasks(spans: &[Span], group: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut open = HashMap::new();
    for span in spans {
        let past = Past::new(span);
        if span.queries.len() > SHORT || past.blocks.first == 0 {
            tasks.extend(blocks(span, group));
            continue;
        }
        let at = *open.entry(&span.past).or_insert(tasks.len());
        if at == tasks.len() {
            tasks.push(Task { queries: vec![], pieces: vec![past.blocks] });
        }
        gather(&mut tasks[at], span, &past.rest);
        if tasks[at].queries.len() + SHORT > SHARING {
            open.remove(&span.past);
        }
    }
    tasks
}

/// The past of a span: its whole blocks of keys, before their queries are there, and the rest.
struct Past {
    blocks: Piece,
    rest: Vec<Range<usize>>,
}

impl Past {
    fn new(span: &Span) -> Self {
        let len: usize = span.past.iter().map(Range::len).sum();
        let all = Piece { queries: 0..0, keys: join(&span.past, 0..0), first: len, step: 0 };
        let keys = |from, to| all.segments(from, to).map(|(_, rows)| rows).collect();
        let first = len - len % WIDTH;
        let blocks = Piece { queries: 0..0, keys: keys(0, first), first, step: 0 };
        Self { blocks, rest: keys(first, len) }
    }
}

/// Adds a short span to a task over the blocks of its past, of which `rest` is left.
fn gather(task: &mut Task, span: &Span, rest: &[Range<usize>]) {
    let queries = task.queries.len()..task.queries.len() + span.queries.len();
    task.queries.extend(span.queries.clone());
    task.pieces[0].queries.end = queries.end;
    task.pieces.push(Piece {
        queries,
        keys: join(rest, span.own.clone()),
        first: rest.iter().map(Range::len).sum::<usize>() + span.visible(0),
        step: usize::from(span.causal),
    });
}

/// One span as tasks of a block of queries each.
pub(super) fn blocks(span: &Span, group: usize) -> impl Iterator<Item = Task> + '_ {
    let keys = join(&span.past, span.own.clone());
    let past: usize = span.past.iter().map(Range::len).sum();
    let most = ROWS.div_ceil(group);
    (0..span.queries.len()).step_by(most).map(move |from| {
        let queries = from..span.queries.len().min(from + most);
        let piece = Piece {
            queries: 0..queries.len(),
            keys: keys.clone(),
            first: past + span.visible(from),
            step: usize::from(span.causal),
        };
        let rows = span.queries.start + queries.start..span.queries.start + queries.end;
        Task { queries: rows.collect(), pieces: vec![piece] }
    })
}

/// Ranges one after another, neighbours merged, empty ones dropped.
fn join(past: &[Range<usize>], own: Range<usize>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in past.iter().cloned().chain([own]).filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// Spans in families that share no key rows, each in the order given.
pub(super) fn families(spans: &[Span]) -> Vec<Vec<&Span>> {
    let mut ranges: Vec<(Range<usize>, usize)> = Vec::new();
    for (i, span) in spans.iter().enumerate() {
        let keys = span.past.iter().chain([&span.own]).filter(|keys| !keys.is_empty());
        ranges.extend(keys.map(|keys| (keys.clone(), i)));
    }
    ranges.sort_by_key(|(keys, _)| keys.start);
    let mut parent: Vec<usize> = (0..spans.len()).collect();
    let (mut end, mut with) = (0, 0);
    for (keys, span) in ranges {
        if keys.start < end {
            let (a, b) = (root(&mut parent, with), root(&mut parent, span));
            parent[a.max(b)] = a.min(b);
        }
        if keys.end > end {
            (end, with) = (keys.end, span);
        }
    }
    let mut families: Vec<Vec<&Span>> = vec![vec![]; spans.len()];
    for (i, span) in spans.iter().enumerate() {
        families[root(&mut parent, i)].push(span);
    }
    families.retain(|family| !family.is_empty());
    families
}

fn root(parent: &mut [usize], mut of: usize) -> usize {
    while parent[of] != of {
        parent[of] = parent[parent[of]];
        of = parent[of];
    }
    of
}

/// Checks that rows exist and no query is in two spans, which is what lets tasks write freely.
pub(super) fn check(spans: &[Span], queries: usize, keys: usize) {
    let mut taken = vec![false; queries];
    for span in spans {
        assert!(span.queries.end <= queries, "{span:?}: {queries} query rows");
        let last = span.past.iter().chain([&span.own]).map(|range| range.end).max();
        assert!(last <= Some(keys), "{span:?}: {keys} key rows");
        assert!(!span.causal || span.own.len() >= span.queries.len(), "{span:?}: own keys");
        for query in span.queries.clone() {
            assert!(!std::mem::replace(&mut taken[query], true), "query {query} is in two spans");
        }
    }
}

/// About how many floating-point operations the scores and sums of all spans are.
pub(super) fn cost(spans: &[Span], width: usize) -> usize {
    let pairs = spans.iter().map(|span| {
        let past: usize = span.past.iter().map(Range::len).sum();
        span.queries.len() * (past + span.own.len())
    });
    4 * width * pairs.sum::<usize>()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a past is a list of ranges")]
mod tests {
    use super::*;

    fn span(queries: Range<usize>, past: &[Range<usize>], own: Range<usize>) -> Span {
        Span { queries, past: past.to_vec(), own, causal: true }
    }

    #[test]
    fn families_of_trees() {
        let spans = [
            span(0..5, &[], 0..5),
            span(20..25, &[], 20..25),
            span(5..9, &[0..5], 5..9),
            span(25..29, &[20..22, 23..25], 25..29),
            span(9..12, &[2..3], 9..12),
        ];
        let starts = |family: &Vec<&Span>| family.iter().map(|s| s.queries.start).collect();
        let families: Vec<Vec<usize>> = families(&spans).iter().map(starts).collect();
        assert_eq!(families, [vec![0, 5, 9], vec![20, 25]]);
    }

    #[test]
    fn short_spans_share_their_past() {
        let spans: Vec<Span> =
            (0..20).map(|i| span(i..i + 1, &[0..100], 200 + i * 9..205 + i * 9)).collect();
        let tasks = tasks(&spans, 3);
        assert_eq!(tasks.iter().map(|task| task.queries.len()).collect::<Vec<_>>(), [13, 7]);
        assert_eq!(
            (&tasks[1].pieces[0].queries, &tasks[1].pieces[0].keys),
            (&(0..7), &vec![0..64])
        );
        assert_eq!(tasks[1].pieces[7].keys, [64..100, 200 + 19 * 9..205 + 19 * 9]);
        assert_eq!(tasks[1].pieces[7].first, 36 + 5);
    }

    #[test]
    fn segments_of_a_piece() {
        let piece = Piece { queries: 0..4, keys: vec![10..13, 50..60], first: 10, step: 1 };
        assert_eq!(piece.segments(1, 6).collect::<Vec<_>>(), [(0, 11..13), (2, 50..53)]);
        assert_eq!(piece.segments(4, 99).collect::<Vec<_>>(), [(0, 51..60)]);
        assert_eq!((piece.len(), piece.first_to_see(9), piece.first_to_see(10)), (13, 0, 1));
        assert_eq!(piece.first_to_see(12), 3);
    }
}
