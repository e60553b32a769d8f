//! A reader that knows how many bytes are left and never promises more.

use std::io::Read;

/// Metadata and tensor list together; the largest vocabularies need about 20 MB.
const MAX_HEADER_BYTES: u64 = 1 << 28;

/// The bytes before the tensors, read front to back. Errors are reasons, to which the caller adds the path.
pub(crate) struct Source<R> {
    reader: R,
    position: u64,
    len: u64,
}

impl<R: Read> Source<R> {
    /// Reads from `reader`, which holds `len` bytes in all.
    pub(crate) fn new(reader: R, len: u64) -> Self {
        Self { reader, position: 0, len: len.min(MAX_HEADER_BYTES) }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Fails unless `count` items of at least `size` bytes can still follow.
    pub(crate) fn expect_items(&self, what: &str, count: u64, size: u64) -> Result<usize, String> {
        let left = self.len - self.position;
        match count.checked_mul(size) {
            Some(bytes) if bytes <= left => usize::try_from(count).map_err(|e| e.to_string()),
            _ => Err(format!(
                "{what}: {count} items announced at byte {}, but {left} bytes follow",
                self.position
            )),
        }
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, what: &str, count: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.expect_items(what, count, 1)?];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.expect_items(what, N as u64, 1)?;
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// A little-endian `u32`.
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// A little-endian `u64`.
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A string: a `u64` length, then UTF-8.
    pub(crate) fn string(&mut self, what: &str) -> Result<String, String> {
        let len = self.u64(what)?;
        let start = self.position;
        let bytes = self.bytes(what, len)?;
        String::from_utf8(bytes)
            .map_err(|e| format!("{what}: the string at byte {start} is not UTF-8: {e}"))
    }

    fn fill(&mut self, what: &str, bytes: &mut [u8]) -> Result<(), String> {
        self.reader
            .read_exact(bytes)
            .map_err(|e| format!("{what}: at byte {}: {e}", self.position))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
