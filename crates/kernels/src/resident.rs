//! Memory of weights, in large pages where the system has them: decoding reads all of it for every
//! token, and with small ones waits for their addresses.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::{MmapMut, MmapRaw};

/// Bytes of a large page.
const PAGE: usize = 2 << 20;
/// Bytes asked of the system at once; what is larger gets a region of its own.
const REGION: usize = 32 << 20;
/// Bytes of a cache line, at which every piece begins.
const LINE: usize = 64;

/// The region that is being filled, and how many bytes of it are taken.
static CURRENT: Mutex<Option<(Arc<MmapRaw>, usize)>> = Mutex::new(None);

/// 32-bit words that begin on a cache line; the region goes back when its last piece is dropped.
pub(crate) struct Resident {
    region: Arc<MmapRaw>,
    start: usize,
    len: usize,
}

impl Resident {
    /// `len` zeros.
    ///
    /// # Panics
    /// If the system has no memory left.
    pub(crate) fn zeros(len: usize) -> Self {
        let bytes = (4 * len).next_multiple_of(LINE);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let (region, taken) = match current.take() {
            Some((region, taken)) if taken + bytes <= region.len() => (region, taken),
            _ => open(bytes),
        };
        *current = Some((Arc::clone(&region), taken + bytes));
        Self { region, start: taken, len }
    }

    /// The words.
    pub(crate) fn words(&self) -> &[u32] {
        // SAFETY: `zeros` gave these bytes, inside the region and aligned, to this piece alone.
        unsafe { std::slice::from_raw_parts(self.region.as_ptr().add(self.start).cast(), self.len) }
    }

    /// The words, to be changed.
    pub(crate) fn words_mut(&mut self) -> &mut [u32] {
        let at = self.region.as_mut_ptr();
        // SAFETY: as in `words`; `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(at.add(self.start).cast(), self.len) }
    }

    /// The same as f32 values.
    pub(crate) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(self.words())
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        4 * self.len
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words", self.len)
    }
}

/// A region for at least so many bytes, and where in it the first large page begins.
fn open(bytes: usize) -> (Arc<MmapRaw>, usize) {
    let size = bytes.max(REGION).next_multiple_of(PAGE) + PAGE;
    let map = MmapMut::map_anon(size).expect("memory for weights");
    // Small pages do too.
    #[cfg(target_os = "linux")]
    drop(map.advise(memmap2::Advice::HugePage));
    let start = map.as_ptr().align_offset(PAGE).min(PAGE);
    (Arc::new(MmapRaw::from(map)), start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_their_own() {
        let lengths = [0, 1, 17, 70_000, REGION / 4 + 5, 3];
        let mut pieces: Vec<Resident> = lengths.into_iter().map(Resident::zeros).collect();
        for (i, piece) in pieces.iter_mut().enumerate() {
            assert_eq!((piece.words().len(), piece.bytes()), (lengths[i], 4 * lengths[i]));
            assert_eq!(piece.words().as_ptr() as usize % LINE, 0);
            assert!(piece.words().iter().all(|&word| word == 0));
            piece.words_mut().fill(i as u32 + 1);
        }
        for (i, piece) in pieces.iter().enumerate() {
            assert!(piece.words().iter().all(|&word| word == i as u32 + 1));
        }
    }
}
