//! Which patches of an image see each other: windows of whole tokens.
//!
//! ```text
//!  tokens  a a | b      windows of 2 x 2 tokens over 3 x 3: the last row and column
//!          a a | b      of windows are smaller
//!          ----+--
//!          c c | d      rows in the order  a a a a b b c c d
//! ```

use tensor::Span;

use crate::config::PatchVisionConfig;
use crate::vision::Grid;

/// An image's patches, window by window.
pub(super) struct Windows {
    /// For each row in window order, its row in the processor's order.
    pub(super) order: Vec<usize>,
    /// Row and column of each patch, in window order.
    pub(super) places: Vec<[u32; 2]>,
    /// One span for each window.
    pub(super) spans: Vec<Span>,
}

impl Windows {
    /// Of an image of `grid` patches, which whole tokens fill.
    pub(super) fn new(grid: Grid, config: &PatchVisionConfig) -> Self {
        let (merge, side) = (config.merge_size, config.window_tokens());
        let (rows, columns) = (grid.rows / merge, grid.columns / merge);
        let mut windows = Self { order: Vec::new(), places: Vec::new(), spans: Vec::new() };
        for top in (0..rows).step_by(side) {
            for left in (0..columns).step_by(side) {
                let first = windows.order.len();
                for row in top..rows.min(top + side) {
                    for column in left..columns.min(left + side) {
                        windows.push_token([row, column], columns, merge);
                    }
                }
                let all = first..windows.order.len();
                let span = Span { queries: all.clone(), past: vec![], own: all, causal: false };
                windows.spans.push(span);
            }
        }
        windows
    }

    /// The patches of a token, row by row.
    fn push_token(&mut self, [row, column]: [usize; 2], columns: usize, merge: usize) {
        let first = (row * columns + column) * merge * merge;
        self.order.extend(first..first + merge * merge);
        let inside = (0..merge).flat_map(|down| (0..merge).map(move |across| [down, across]));
        let place = |[down, across]: [usize; 2]| {
            [row * merge + down, column * merge + across].map(crate::layout::row_u32)
        };
        self.places.extend(inside.map(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_at_the_edges_are_smaller() {
        let config = PatchVisionConfig {
            hidden_size: 16,
            intermediate_size: 16,
            num_layers: 1,
            num_heads: 1,
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            window_size: 56,
            full_attention_blocks: vec![],
        };
        let windows = Windows::new(Grid { rows: 6, columns: 4 }, &config);
        // Three rows of two tokens: one window of four tokens, one of two.
        let lens: Vec<_> = windows.spans.iter().map(|span| span.queries.clone()).collect();
        assert_eq!(lens, [0..16, 16..24]);
        assert_eq!(windows.order, (0..24).collect::<Vec<_>>());
        assert_eq!(windows.places[4..8], [[0, 2], [0, 3], [1, 2], [1, 3]]);
        let windows = Windows::new(Grid { rows: 2, columns: 6 }, &config);
        assert_eq!(windows.spans.len(), 2);
        let windows = Windows::new(Grid { rows: 4, columns: 6 }, &config);
        // The third token of each row is alone in the second window.
        assert_eq!(windows.order[..5], [0, 1, 2, 3, 4]);
        assert_eq!(windows.order[8..12], [12, 13, 14, 15]);
        assert_eq!(windows.order[16..], [8, 9, 10, 11, 20, 21, 22, 23]);
        assert_eq!(windows.places[16..18], [[0, 4], [0, 5]]);
    }
}
