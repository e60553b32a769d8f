//! Buffers of dropped tensors, kept for the next ones.
//!
//! A training step allocates the same sizes again and again. Getting them from the system means a
//! page fault and a zero fill for every 4 KiB; getting them from here costs a map look-up. The pool
//! never holds more than a quarter above the most that was ever live at once.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sizes in the pool, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Held by tensors.
    pub live: usize,
    /// The most ever held by tensors at once.
    pub peak: usize,
    /// Kept for reuse.
    pub free: usize,
}

/// What the pool holds now.
pub fn usage() -> Usage {
    pool().usage
}

/// Returns all free buffers to the system and forgets the peak.
pub fn clear() {
    let mut pool = pool();
    pool.free.clear();
    pool.usage.free = 0;
    pool.usage.peak = pool.usage.live;
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: BTreeMap::new(), usage: Usage { live: 0, peak: 0, free: 0 } });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pool {
    /// Buffers by their length in values.
    free: BTreeMap<usize, Vec<Vec<f32>>>,
    usage: Usage,
}

impl Pool {
    /// The smallest free buffer that holds `len` values and is not wastefully large.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let (&size, buffers) = self.free.range_mut(len..=len + len / 4).next()?;
        let buffer = buffers.pop()?;
        if buffers.is_empty() {
            self.free.remove(&size);
        }
        self.usage.free -= bytes(&buffer);
        Some(buffer)
    }

    fn lend(&mut self, size: usize) {
        self.usage.live += size;
        self.usage.peak = self.usage.peak.max(self.usage.live);
    }

    /// Drops the smallest free buffers until `room` bytes more fit under the ceiling.
    fn shrink(&mut self, room: usize) {
        let ceiling = self.usage.peak + self.usage.peak / 4;
        while self.usage.live + self.usage.free + room > ceiling {
            let Some((_, buffers)) = self.free.pop_first() else { return };
            self.usage.free -= buffers.iter().map(|b| bytes(b)).sum::<usize>();
        }
    }
}

/// The values of one tensor; returns to the pool when dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// At least `len` values; a recycled buffer may be a little longer.
    values: Vec<f32>,
    len: usize,
}

/// Below this many values the system's allocator is as fast as the pool.
const POOLED: usize = 4096;

impl Buffer {
    /// `len` values that are whatever the last user left.
    pub(crate) fn scratch(len: usize) -> Self {
        if len < POOLED {
            return Self { values: vec![0.0; len], len };
        }
        let mut pool = pool();
        let found = pool.take(len);
        pool.lend(found.as_ref().map_or(len * 4, |values| bytes(values)));
        if found.is_none() {
            pool.shrink(0);
        }
        drop(pool);
        Self { values: found.unwrap_or_else(|| vec![0.0; len]), len }
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::scratch(len);
        buffer.fill(0.0);
        buffer
    }

    /// Takes over `values`.
    pub(crate) fn adopt(values: Vec<f32>) -> Self {
        let len = values.len();
        if len >= POOLED {
            pool().lend(bytes(&values));
        }
        Self { values, len }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.values.len() < POOLED {
            return;
        }
        let values = std::mem::take(&mut self.values);
        let size = bytes(&values);
        let mut pool = pool();
        pool.usage.live -= size;
        pool.shrink(size);
        pool.usage.free += size;
        pool.free.entry(values.len()).or_default().push(values);
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

fn bytes(values: &[f32]) -> usize {
    size_of_val(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuse_stays_under_the_ceiling() {
        let mut pool = Pool { free: BTreeMap::new(), usage: Usage::default() };
        pool.lend(1000 * 4);
        pool.usage.live = 0;
        for len in [100, 200, 300] {
            pool.usage.free += len * 4;
            pool.free.entry(len).or_default().push(vec![0.0; len]);
        }
        assert_eq!(pool.take(170).map(|b| b.len()), Some(200), "best fit");
        assert_eq!(pool.take(101), None, "300 for 101 would waste");
        pool.lend(1000 * 4);
        pool.shrink(0);
        assert_eq!(pool.usage.free, 0, "live is at the peak and 400 values are above a quarter");
    }

    #[test]
    fn buffers_come_back() {
        let len = 1_234_567;
        let address = Buffer::scratch(len).as_ptr();
        let again = Buffer::zeros(len - 1000);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again.len(), len - 1000);
    }
}
