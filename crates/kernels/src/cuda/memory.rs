//! Values on a card, and the memory of dropped ones, kept for the next.
//!
//! The driver takes a lock and waits when it allocates, and a step allocates the same sizes again and
//! again. Memory goes back to the pool while work that reads it may still be on its way: what uses it next
//! is launched behind that work, so nothing is overwritten too early.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use bytemuck::Pod;

use crate::cuda::Card;

/// Sizes are multiples of this many bytes, of which a warp reads the first without waste.
const GRAIN: usize = 512;

/// Values of one type on a card. Freed when dropped.
pub struct Buffer<T = f32> {
    card: Card,
    address: u64,
    len: usize,
    kind: PhantomData<T>,
}

/// Memory that no buffer has.
#[derive(Default)]
pub(crate) struct Pool {
    free: BTreeMap<usize, Vec<u64>>,
}

impl<T: Pod> Buffer<T> {
    /// Memory for `len` values that are yet to be written.
    ///
    /// # Panics
    /// If the card has no room.
    pub fn scratch(card: &Card, len: usize) -> Self {
        let address = allocate(card, bytes::<T>(len));
        Self { card: card.clone(), address, len, kind: PhantomData }
    }

    /// All zeros.
    pub fn zeros(card: &Card, len: usize) -> Self {
        let mut buffer = Self::scratch(card, len);
        buffer.clear();
        buffer
    }

    /// Sets all values to zero.
    pub fn clear(&mut self) {
        self.card.machine().clear(self.address, self.len * size_of::<T>());
    }

    /// The values, copied to the card.
    pub fn upload(card: &Card, values: &[T]) -> Self {
        let mut buffer = Self::scratch(card, values.len());
        buffer.write(0, values);
        buffer
    }

    /// Replaces the values from `first` on.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn write(&mut self, first: usize, values: &[T]) {
        assert!(
            first + values.len() <= self.len,
            "{} values at {first} of {}",
            values.len(),
            self.len
        );
        let to = self.address + (first * size_of::<T>()) as u64;
        self.card.machine().upload(bytemuck::cast_slice(values), to);
    }

    /// The values, copied from the card, when all that came before is done.
    pub fn download(&self) -> Vec<T> {
        let mut values = vec![T::zeroed(); self.len];
        self.card.machine().download(self.address, bytemuck::cast_slice_mut(&mut values));
        values
    }

    /// Copies `len` values of `from`, from `first` on, to the place `to` here.
    ///
    /// # Panics
    /// If either has fewer.
    pub fn copy_from(&mut self, to: usize, from: &Self, first: usize, len: usize) {
        assert!(
            to + len <= self.len && first + len <= from.len,
            "{len} values at {first} and {to}"
        );
        let size = size_of::<T>();
        let (from, to) = (from.address + (first * size) as u64, self.address + (to * size) as u64);
        self.card.machine().copy(from, to, len * size);
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the values are.
    pub fn card(&self) -> &Card {
        &self.card
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// The address of a value.
    pub(crate) fn address_of(&self, index: usize) -> u64 {
        debug_assert!(index <= self.len);
        self.address + (index * size_of::<T>()) as u64
    }
}

impl<T: Pod> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::scratch(&self.card, self.len);
        copy.copy_from(0, self, 0, self.len);
        copy
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let bytes = bytes::<T>(self.len);
        self.card.pool(|pool| pool.put(bytes, self.address));
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values on {:?}", self.len, self.card)
    }
}

impl Pool {
    /// The smallest piece that holds so many bytes and is not wastefully large. It keeps its own size.
    fn take(&mut self, bytes: usize) -> Option<u64> {
        let pieces = self.free.get_mut(&bytes)?;
        let piece = pieces.pop();
        if pieces.is_empty() {
            self.free.remove(&bytes);
        }
        piece
    }

    fn put(&mut self, bytes: usize, address: u64) {
        self.free.entry(bytes).or_default().push(address);
    }

    pub(crate) fn free_bytes(&self) -> usize {
        self.free.iter().map(|(bytes, pieces)| bytes * pieces.len()).sum()
    }

    /// All pieces, to be released.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = u64> + use<> {
        std::mem::take(&mut self.free).into_values().flatten()
    }
}

/// The size that so many values are allocated at: few sizes, so that dropped ones fit again.
fn bytes<T>(len: usize) -> usize {
    let bytes = (len * size_of::<T>()).max(1);
    // An eighth of the size is wasted at most.
    let grain = (bytes.next_power_of_two() / 16).max(GRAIN);
    bytes.next_multiple_of(grain)
}

fn allocate(card: &Card, bytes: usize) -> u64 {
    if let Some(address) = card.pool(|pool| pool.take(bytes)) {
        return address;
    }
    if let Some(address) = card.machine().allocate(bytes) {
        return address;
    }
    let pieces: Vec<u64> = card.pool(|pool| pool.drain().collect());
    card.synchronize();
    pieces.into_iter().for_each(|address| card.machine().release(address));
    card.machine().allocate(bytes).unwrap_or_else(|| {
        let free = card.machine().memory().free;
        panic!("{} has no room for {bytes} bytes more: {free} are free", card.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_hold_what_they_must() {
        for len in [0, 1, 127, 128, 129, 1000, 4097, 1 << 20, (1 << 20) + 1] {
            let size = bytes::<f32>(len);
            assert!(size >= (4 * len).max(1) && size.is_multiple_of(GRAIN));
            assert!(size <= (4 * len + 4 * len / 8).max(GRAIN) + GRAIN, "{size} for {len} values");
        }
    }

    #[test]
    fn the_pool_gives_back_what_fits() {
        let mut pool = Pool::default();
        pool.put(512, 7);
        pool.put(1024, 8);
        assert_eq!((pool.take(1024), pool.take(1024), pool.free_bytes()), (Some(8), None, 512));
        assert_eq!(pool.drain().collect::<Vec<_>>(), [7]);
    }
}
