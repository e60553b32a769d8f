//! Which rows of the key/value cache are free.

use std::ops::Range;

/// Free rows as ranges, ascending, never touching each other.
#[derive(Debug)]
pub(crate) struct FreeRows(Vec<Range<usize>>);

impl FreeRows {
    /// All of `num_rows` rows.
    pub(crate) fn new(num_rows: usize) -> Self {
        let all = 0..num_rows;
        Self(if all.is_empty() { Vec::new() } else { vec![all] })
    }

    /// Takes `len` consecutive rows, the lowest there are.
    pub(crate) fn take(&mut self, len: usize) -> Option<Range<usize>> {
        if len == 0 {
            return Some(0..0);
        }
        let i = self.0.iter().position(|free| free.len() >= len)?;
        let start = self.0[i].start;
        self.0[i].start += len;
        if self.0[i].is_empty() {
            self.0.remove(i);
        }
        Some(start..start + len)
    }

    /// Gives rows back.
    pub(crate) fn give(&mut self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let i = self.0.partition_point(|free| free.start < rows.start);
        self.0.insert(i, rows);
        if i + 1 < self.0.len() && self.0[i].end == self.0[i + 1].start {
            self.0[i].end = self.0.remove(i + 1).end;
        }
        if i > 0 && self.0[i - 1].end == self.0[i].start {
            self.0[i - 1].end = self.0.remove(i).end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_whole_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut free = FreeRows::new(10);
            let taken: Vec<_> = [3, 4, 2].iter().map(|&len| free.take(len).unwrap()).collect();
            assert_eq!(taken, [0..3, 3..7, 7..9]);
            assert_eq!((free.take(2), free.take(0)), (None, Some(0..0)));
            order.iter().for_each(|&i: &usize| free.give(taken[i].clone()));
            assert_eq!(free.take(10), Some(0..10));
        }
    }

    #[test]
    fn gaps_are_used_from_the_bottom() {
        let mut free = FreeRows::new(10);
        let (low, _middle) = (free.take(4).unwrap(), free.take(3).unwrap());
        free.give(low);
        assert_eq!((free.take(5), free.take(2), free.take(3)), (None, Some(0..2), Some(7..10)));
    }
}
