//! Where the rows of a forward pass stand: positions, who sees whom, and cache rows.

use tensor::Span;

/// Describes the rows handed to the language model: `positions.len()` of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Position of every row within its sequence, for the rotary embedding.
    pub positions: Vec<u32>,
    /// Time, row and column of every row where the model's rotary embedding has three axes and the
    /// rows are not plain text; `None`: the position on each axis.
    pub axes: Option<Vec<[u32; 3]>>,
    /// Which keys each run of rows sees. Without a cache, keys are the rows themselves; with one,
    /// they are cache rows.
    pub spans: Vec<Span>,
    /// Cache row in which each row's key and value are written; empty without a cache.
    pub slots: Vec<usize>,
    /// Rows whose hidden state the caller will read, ascending; `None` is all of them. The hidden
    /// states returned are those of these rows alone, in this order, which spares the last block
    /// the others.
    pub outputs: Option<Vec<usize>>,
}

impl Layout {
    /// One sequence of `len` rows that sees itself causally; all hidden states are wanted.
    pub fn causal(len: usize) -> Self {
        let own = Span { queries: 0..len, past: Vec::new(), own: 0..len, causal: true };
        let positions = (0..len).map(row_u32).collect();
        Self { positions, spans: vec![own], ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Length of the longest sequence: the largest position and one.
    pub fn num_positions(&self) -> usize {
        self.positions.iter().max().map_or(0, |&last| last as usize + 1)
    }

    /// Number of hidden states returned.
    pub fn num_outputs(&self) -> usize {
        self.outputs.as_ref().map_or(self.len(), Vec::len)
    }

    /// The spans of the rows `picked` (ascending) once these alone are queries, numbered anew.
    pub(crate) fn spans_of(&self, picked: &[usize]) -> Vec<Span> {
        let mut spans = Vec::new();
        for span in &self.spans {
            let mut first = picked.partition_point(|&row| row < span.queries.start);
            let last = picked.partition_point(|&row| row < span.queries.end);
            for run in picked[first..last].chunk_by(|a, b| a + 1 == *b) {
                spans.push(part_of(span, run, first));
                first += run.len();
            }
        }
        spans
    }
}

/// The part of a span whose queries are the consecutive rows `run`, renumbered from `first`.
fn part_of(span: &Span, run: &[usize], first: usize) -> Span {
    // The last query of a causal span sees all of `own`; an earlier end sees as much less.
    let after = span.queries.end - (run[0] + run.len());
    let hidden = if span.causal { after } else { 0 };
    Span {
        queries: first..first + run.len(),
        past: span.past.clone(),
        own: span.own.start..span.own.end - hidden,
        causal: span.causal,
    }
}

/// A row or position as the 32-bit number the rotary table takes.
pub(crate) fn row_u32(row: usize) -> u32 {
    u32::try_from(row).expect("no context has 2^32 positions")
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    #[test]
    fn picked_rows_see_what_they_saw() {
        let span = |queries, past: &[Range<usize>], own| Span {
            queries,
            past: past.to_vec(),
            own,
            causal: true,
        };
        let prefix = 0..2;
        let prefix = std::slice::from_ref(&prefix);
        let layout = Layout {
            positions: vec![0, 1, 2, 3, 2, 3, 4],
            spans: vec![span(0..2, &[], 0..2), span(2..4, prefix, 2..4), span(4..7, prefix, 4..7)],
            ..Layout::default()
        };
        assert_eq!(
            layout.spans_of(&[1, 2, 4, 6]),
            [
                span(0..1, &[], 0..2),
                span(1..2, prefix, 2..3),
                span(2..3, prefix, 4..5),
                span(3..4, prefix, 4..7),
            ]
        );
        assert_eq!(layout.spans_of(&[0, 1, 2, 3, 4, 5, 6]), layout.spans);
    }
}
