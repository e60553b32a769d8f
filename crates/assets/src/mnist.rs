//! The training digits of MNIST taken out of arrays of numpy into a table.
//!
//! A Python object holds them. It is never read as one: the file's hash is known, and with it where the arrays lie.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const NUM_PIXELS: usize = 28 * 28;
const PIXEL_BYTES: usize = size_of::<f32>();
const LABEL_BYTES: usize = size_of::<u64>();

/// Where some digits lie in the decompressed file: pixels as f32, pixel / 256, and then labels as i64, both little-endian.
struct Span {
    pixels: u64,
    labels: u64,
    len: usize,
}

/// What the authors of the file call training and validation: together they are the training digits of MNIST.
const SPANS: [Span; 2] = [
    Span { pixels: 133, labels: 156_800_199, len: 50_000 },
    Span { pixels: 157_200_236, labels: 188_560_267, len: 10_000 },
];

/// Writes the digits to the table `path`: gzipped CSV, a bitmap a line, 784 pixels and then the label.
pub(crate) fn convert(arrays: impl Read, path: &Path) -> Result<(), String> {
    let mut arrays = Arrays { plain: GzDecoder::new(arrays), position: 0 };
    let file = BufWriter::new(File::create(path).map_err(|e| e.to_string())?);
    let mut table = GzEncoder::new(file, Compression::default());
    for span in SPANS {
        arrays.go_to(span.pixels)?;
        let pixels = arrays.take(span.len * NUM_PIXELS * PIXEL_BYTES)?;
        arrays.go_to(span.labels)?;
        let labels = arrays.take(span.len * LABEL_BYTES)?;
        let bitmaps = pixels.chunks_exact(NUM_PIXELS * PIXEL_BYTES);
        for (bitmap, label) in bitmaps.zip(labels.chunks_exact(LABEL_BYTES)) {
            table.write_all(line(bitmap, label)?.as_bytes()).map_err(|e| e.to_string())?;
        }
    }
    let mut file = table.finish().map_err(|e| e.to_string())?;
    file.flush().map_err(|e| e.to_string())
}

/// A line of the table.
fn line(bitmap: &[u8], label: &[u8]) -> Result<String, String> {
    let label = u64::from_le_bytes(label.try_into().expect("eight bytes"));
    if label > 9 {
        return Err(format!("a digit is called {label}"));
    }
    let mut line = String::with_capacity(2 * bitmap.len() / PIXEL_BYTES);
    for bytes in bitmap.chunks_exact(PIXEL_BYTES) {
        let pixel = 256.0 * f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        if !(0.0..=255.0).contains(&pixel) || pixel.fract() != 0.0 {
            return Err(format!("a pixel is {pixel}, expected 0 to 255"));
        }
        line.push_str(&format!("{pixel},"));
    }
    Ok(line + &format!("{label}\n"))
}

/// A compressed file read forward.
struct Arrays<R> {
    plain: R,
    position: u64,
}

impl<R: Read> Arrays<R> {
    fn go_to(&mut self, position: u64) -> Result<(), String> {
        let between = position.checked_sub(self.position).expect("spans follow each other");
        let passed = std::io::copy(&mut (&mut self.plain).take(between), &mut std::io::sink());
        match passed.map_err(|e| e.to_string())? {
            passed if passed == between => {}
            _ => return Err(format!("it ends before byte {position}")),
        }
        self.position = position;
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; len];
        self.plain.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        self.position += len as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_pixels_and_a_digit() {
        let mut bitmap: Vec<u8> =
            [0.0_f32, 0.5, 0.996_093_75].iter().flat_map(|p| p.to_le_bytes()).collect();
        assert_eq!(line(&bitmap, &7_u64.to_le_bytes()).unwrap(), "0,128,255,7\n");
        assert!(line(&bitmap, &10_u64.to_le_bytes()).unwrap_err().contains("10"));
        for wrong in [f32::NAN, -0.5, 1.0, 0.1] {
            bitmap[..PIXEL_BYTES].copy_from_slice(&wrong.to_le_bytes());
            line(&bitmap, &7_u64.to_le_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_file_that_ends_early_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut short = GzEncoder::new(Vec::new(), Compression::fast());
        short.write_all(&[0; 200]).unwrap();
        convert(&short.finish().unwrap()[..], &folder.path().join("table")).unwrap_err();
    }
}
