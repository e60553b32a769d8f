//! Memory aligned to cache lines.

use std::cell::RefCell;

use bytemuck::{Pod, Zeroable};

/// One cache line.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Values that begin on a cache line, so that no vector of a packed panel straddles two.
#[derive(Clone, Debug)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `len` zeros, rounded up to whole lines.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { lines: vec![Line::zeroed(); len.div_ceil(16)] }
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// Grows to hold at least `len` values; never shrinks.
    pub(crate) fn reserve(&mut self, len: usize) {
        let lines = len.div_ceil(16);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line::zeroed());
        }
    }
}

thread_local! {
    /// Buffers no [`scratch`] of this thread is using.
    static FREE: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values of working memory, holding whatever the last user left.
pub(crate) fn scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let recycled = FREE.with_borrow_mut(Vec::pop);
    let mut buffer = recycled.unwrap_or_else(|| Aligned::zeros(len));
    buffer.reserve(len);
    let result = work(&mut buffer.values_mut()[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}
