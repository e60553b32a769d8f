//! One launch of a kernel: its arguments, and how many threads.

use std::borrow::Cow;

use bytemuck::Pod;

use crate::cuda::Card;
use crate::cuda::compile::Source;
use crate::cuda::memory::Buffer;

/// Threads of a block where a kernel does not say otherwise.
pub(crate) const THREADS: u32 = 256;

/// Blocks of the usual size that one processor of a card has at once.
const BLOCKS_AT_ONCE: usize = 8;

/// How a launch is cut into blocks and threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Blocks on each axis.
    pub(crate) blocks: [u32; 3],
    /// Threads of a block, whole warps.
    pub(crate) threads: u32,
    /// Bytes of memory that a block's threads share, besides what the kernel declares.
    pub(crate) shared: u32,
}

/// A launch that is being put together: arguments in the kernel's order.
pub(crate) struct Launch<'a> {
    card: &'a Card,
    source: &'static Source,
    kernel: Cow<'static, str>,
    args: Vec<u64>,
}

/// A value that a kernel takes, in the first bytes of eight.
pub(crate) struct Arg(u64);

impl Grid {
    /// Blocks of the usual size on one axis.
    pub(crate) fn of(blocks: usize) -> Self {
        Self { blocks: [size(blocks), 1, 1], threads: THREADS, shared: 0 }
    }
}

impl<'a> Launch<'a> {
    pub(crate) fn new(
        card: &'a Card,
        source: &'static Source,
        kernel: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { card, source, kernel: kernel.into(), args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into().0);
        self
    }

    /// Runs on a grid; one without blocks is no launch.
    pub(crate) fn run(mut self, grid: Grid) {
        if grid.blocks.iter().all(|&blocks| blocks > 0) {
            self.card.machine().launch(self.source, &self.kernel, grid, &mut self.args);
        }
    }

    /// Runs with about a thread for each of `n` values, whose number is the last argument.
    pub(crate) fn over(self, n: usize) {
        let grid = self.grid_over(n);
        self.arg(n as i64).run(grid);
    }

    /// As [`over`](Self::over), with rows of so many columns said last.
    pub(crate) fn over_rows(self, n: usize, cols: usize) {
        let grid = self.grid_over(n);
        self.arg(n as i64).arg(int(cols)).run(grid);
    }

    /// A grid whose threads take the values in strides.
    pub(crate) fn grid_over(&self, n: usize) -> Grid {
        let most = self.card.machine().num_blocks() as usize * BLOCKS_AT_ONCE;
        Grid::of(n.div_ceil(THREADS as usize).min(most))
    }
}

impl<T: Pod> From<&Buffer<T>> for Arg {
    fn from(buffer: &Buffer<T>) -> Self {
        Self(buffer.address())
    }
}

impl<T: Pod> From<&mut Buffer<T>> for Arg {
    fn from(buffer: &mut Buffer<T>) -> Self {
        Self(buffer.address())
    }
}

impl<T: Pod> From<Option<&Buffer<T>>> for Arg {
    fn from(buffer: Option<&Buffer<T>>) -> Self {
        Self(buffer.map_or(0, Buffer::address))
    }
}

impl From<f32> for Arg {
    fn from(value: f32) -> Self {
        Self(u64::from(value.to_bits()))
    }
}

impl From<i32> for Arg {
    fn from(value: i32) -> Self {
        Self(u64::from(value as u32))
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self(value as u64)
    }
}

impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

/// A size as kernels take it.
///
/// # Panics
/// If it exceeds 31 bits, which no row or column count does.
pub(crate) fn int(size: usize) -> i32 {
    i32::try_from(size).expect("rows and columns fit 31 bits")
}

fn size(blocks: usize) -> u32 {
    u32::try_from(blocks).expect("blocks of a grid")
}
