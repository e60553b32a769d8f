//! Which rows of the key/value cache are free.

use std::ops::Range;

/// Free rows as ranges, ascending, never touching each other.
#[derive(Clone, Debug)]
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

    /// Takes rows of two lengths, if there are such for both.
    pub(crate) fn take_both(&mut self, lens: [usize; 2]) -> Option<[Range<usize>; 2]> {
        // What the longer one leaves is enough for the shorter one, wherever there is room for both.
        let longer = usize::from(lens[1] > lens[0]);
        let first = self.take(lens[longer])?;
        let Some(second) = self.take(lens[1 - longer]) else {
            self.give(first);
            return None;
        };
        Some(if longer == 0 { [first, second] } else { [second, first] })
    }

    /// Where rows of two lengths may come to stand, on as few of the rows `now` as can easily be found.
    pub(crate) fn places(&self, mut lens: [usize; 2], now: &Self) -> Option<[Range<usize>; 2]> {
        let plain = self.clone().take_both(lens)?;
        lens.sort_unstable();
        let beside = || {
            let mut free = self.clone();
            let longer = free.place(lens[1], now)?;
            free.withhold(&longer);
            Some([longer, free.place(lens[0], now)?])
        };
        Some(beside().unwrap_or(plain))
    }

    /// Where `len` rows may come to stand, on few of the rows `now`.
    fn place(&self, len: usize, now: &Self) -> Option<Range<usize>> {
        let edges = || now.0.iter().flat_map(|free| [free.end, free.start.saturating_sub(len)]);
        let starts = self.0.iter().filter(|gap| gap.len() >= len).flat_map(|gap| {
            let last = gap.end - len;
            let inner = edges().filter(move |start| (gap.start..=last).contains(start));
            inner.chain([gap.start, last])
        });
        let start = starts.min_by_key(|&start| (now.num_within(start..start + len), start))?;
        Some(start..start + len)
    }

    /// How many of some rows are free.
    fn num_within(&self, rows: Range<usize>) -> usize {
        self.0.iter().map(|free| shared(free, &rows).len()).sum()
    }

    /// Takes what is free of some rows.
    pub(crate) fn withhold(&mut self, rows: &Range<usize>) -> Vec<Range<usize>> {
        let held = self.0.iter().map(|free| shared(free, rows));
        let held = held.filter(|part| !part.is_empty()).collect();
        let rest = |free: &Range<usize>| {
            [free.start..free.end.min(rows.start), free.start.max(rows.end)..free.end]
        };
        self.0 = self.0.iter().flat_map(rest).filter(|part| !part.is_empty()).collect();
        held
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

/// Rows that belong to both.
fn shared(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
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

    /// Free rows of a list of ranges.
    fn of(ranges: &[Range<usize>]) -> FreeRows {
        FreeRows(ranges.to_vec())
    }

    #[test]
    fn two_lengths_are_taken_wherever_there_is_room_for_both() {
        let free = of(&[0..10, 12..17]);
        assert_eq!(free.clone().take_both([5, 10]), Some([12..17, 0..10]));
        assert_eq!(free.clone().take_both([10, 5]), Some([0..10, 12..17]));
        let mut full = free.clone();
        assert_eq!(full.take_both([10, 6]), None);
        assert_eq!(full.take(10), Some(0..10), "nothing is lost");
    }

    #[test]
    fn places_leave_free_rows_alone_where_they_can() {
        let all = FreeRows::new(20);
        // Rows 6 to 15 are taken now.
        let now = of(&[0..6, 15..20]);
        assert_eq!(all.places([9, 0], &now).map(|[longer, _]| longer), Some(6..15));
        assert_eq!(all.places([4, 5], &now), Some([6..11, 11..15]));
        assert_eq!(all.places([12, 0], &now).map(|[longer, _]| longer), Some(3..15));
        assert_eq!(all.places([12, 9], &now), None);
        // Where the best place of the longer one leaves none for the other, any will do.
        assert!(of(&[0..6, 8..14]).places([6, 6], &FreeRows::new(6)).is_some());
    }

    #[test]
    fn what_is_withheld_comes_back_whole() {
        let mut free = of(&[0..4, 6..10]);
        let held = free.withhold(&(2..8));
        assert_eq!((&held[..], free.take(3)), (&[2..4, 6..8][..], None));
        held.into_iter().for_each(|rows| free.give(rows));
        assert_eq!((free.take(4), free.take(4)), (Some(0..4), Some(6..10)));
        assert!(free.withhold(&(0..20)).is_empty());
    }

    #[test]
    fn gaps_are_used_from_the_bottom() {
        let mut free = FreeRows::new(10);
        let (low, _middle) = (free.take(4).unwrap(), free.take(3).unwrap());
        free.give(low);
        assert_eq!((free.take(5), free.take(2), free.take(3)), (None, Some(0..2), Some(7..10)));
    }
}
