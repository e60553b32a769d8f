//! Bringing one head's rows into the shape the products want.

use std::ops::Range;

use super::Heads;
use super::plan::{Piece, Task};
use crate::block::transpose;
use crate::product::{Left, Out, Rows, WIDTH, product};

/// One key-value head of a matrix of keys or values.
#[derive(Clone, Copy)]
pub(super) struct Column<'a> {
    rows: &'a [f32],
    width: usize,
    start: usize,
    dim: usize,
}

impl<'a> Column<'a> {
    pub(super) fn new(rows: &'a [f32], heads: Heads, head: usize) -> Self {
        Self { rows, width: heads.key_value * heads.dim, start: head * heads.dim, dim: heads.dim }
    }

    /// Keys `from .. to ≤ from + 64` of a piece as `[dim, 64]`; columns beyond hold anything.
    pub(super) fn turn(&self, piece: &Piece, (from, to): (usize, usize), room: &mut [f32]) {
        for (at, rows) in piece.segments(from, to) {
            let source = &self.rows[rows.start * self.width + self.start..];
            transpose((source, self.width), (rows.len(), self.dim), (&mut room[at..], WIDTH));
        }
    }

    /// Keys `from .. to ≤ from + 64` of a piece as the right side of a product of `dim` columns:
    /// where they lie if they lie together, else copied into `room`.
    pub(super) fn right(
        &self,
        piece: &Piece,
        (from, to): (usize, usize),
        room: &mut [f32],
    ) -> Rows {
        let padded = self.dim.next_multiple_of(WIDTH);
        let mut segments = piece.segments(from, to);
        if let (Some((0, rows)), true) = (segments.next(), padded == self.dim)
            && rows.len() == to - from
        {
            return Rows { at: self.rows[self.values(rows)].as_ptr(), step: self.width };
        }
        for (at, rows) in piece.segments(from, to) {
            for (i, row) in rows.enumerate() {
                let values = &self.rows[self.values(row..row + 1)];
                room[(at + i) * padded..][..self.dim].copy_from_slice(values);
            }
        }
        Rows { at: room.as_ptr(), step: padded }
    }

    /// From the first value of the first row to the last of the last.
    fn values(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.width + self.start..(rows.end - 1) * self.width + self.start + self.dim
    }
}

/// Where a query row keeps the heads of group `head`, which lie side by side.
pub(super) fn place(row: usize, heads: Heads, head: usize) -> Range<usize> {
    let first = row * heads.query + head * heads.group();
    first * heads.dim..(first + heads.group()) * heads.dim
}

/// The task's rows of group `head`, times `scale`, as `[queries · group, padded]`.
pub(super) fn queries(
    source: &[f32],
    task: &Task,
    (heads, head): (Heads, usize),
    scale: f32,
    to: &mut [f32],
) {
    let mut rows = to.chunks_exact_mut(heads.padded());
    for &query in &task.queries {
        let values = source[place(query, heads, head)].chunks_exact(heads.dim);
        for (values, row) in values.zip(&mut rows) {
            row.iter_mut().zip(values).for_each(|(to, &value)| *to = value * scale);
        }
    }
}

/// [`product`] for any number of columns.
///
/// # Safety
/// As for [`product`], `right` being readable in whole blocks of 64 columns.
pub(super) unsafe fn wide(left: Left, right: Rows, out: Out, rows: usize, depth: usize) {
    for column in (0..out.columns).step_by(WIDTH) {
        let columns = WIDTH.min(out.columns - column);
        // SAFETY: these columns are among those the caller vouches for.
        unsafe {
            let right = Rows { at: right.at.add(column), ..right };
            product(left, right, Out { at: out.at.add(column), columns, ..out }, rows, depth);
        }
    }
}

/// Cuts working memory into pieces of whole cache lines.
pub(super) fn carve<const N: usize>(mut room: &mut [f32], sizes: [usize; N]) -> [&mut [f32]; N] {
    sizes.map(|size| {
        let (piece, rest) = std::mem::take(&mut room).split_at_mut(size.next_multiple_of(16));
        room = rest;
        &mut piece[..size]
    })
}

/// What [`carve`] needs.
pub(super) fn carved<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.iter().map(|size| size.next_multiple_of(16)).sum()
}
