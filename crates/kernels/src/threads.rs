//! Work shared among threads, and slices that tasks write disjoint parts of.
//!
//! Tasks are cut by the shapes alone, never by the number of threads, and no result is summed
//! across tasks except in task order: one thread or sixty-four give the same bits.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// Below this many floating-point operations the other threads are not worth waking.
const WORTH_SHARING: usize = 1 << 17;

/// Runs `task(0) … task(count − 1)`, all together about `cost` floating-point operations.
pub(crate) fn for_each(count: usize, cost: usize, task: impl Fn(usize) + Sync + Send) {
    if count <= 1 || cost < WORTH_SHARING {
        (0..count).for_each(task);
    } else {
        // One at a time: a thread whose core is busy elsewhere must not sit on a long run of tasks.
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// `0..len` in `⌈len / most⌉` nearly equal parts: the `i`-th.
pub(crate) fn part(len: usize, most: usize, i: usize) -> Range<usize> {
    let parts = len.div_ceil(most).max(1);
    len * i / parts..len * (i + 1) / parts
}

/// A slice lent to many tasks at once, each touching its own part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    at: *mut f32,
    len: usize,
    lent: PhantomData<&'a mut [f32]>,
}

// SAFETY: access goes through `slice` and `at`, whose callers promise disjoint parts.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { at: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// No other task may touch the part while this one holds it.
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: in bounds, and disjoint from all others by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(range.start), range.len()) }
    }

    /// Address of value `index`, for strided blocks whose last value is `last`.
    pub(crate) fn at(&self, index: usize, last: usize) -> *mut f32 {
        assert!(index <= last && last < self.len, "{index} to {last} of {}", self.len);
        // SAFETY: in bounds.
        unsafe { self.at.add(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_whole() {
        for (len, most) in [(0_usize, 4), (1, 4), (9, 4), (300, 256), (512, 256), (7, 1)] {
            let parts = len.div_ceil(most).max(1);
            let all: Vec<usize> = (0..parts).flat_map(|i| part(len, most, i)).collect();
            assert_eq!(all, (0..len).collect::<Vec<_>>());
            assert!((0..parts).all(|i| part(len, most, i).len() <= most));
        }
    }
}
