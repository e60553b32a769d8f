//! The table of handwritten digits: gzipped CSV, one bitmap a line, 784 pixels and then the label.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::{Error, Result};

/// Side of a bitmap in pixels.
pub(crate) const SIDE: u32 = 28;
const NUM_PIXELS: usize = (SIDE * SIDE) as usize;
/// The whole of MNIST, 70,000 lines of up to four characters a pixel, stays below this.
const MAX_BYTES: u64 = 1 << 28;

/// One handwritten digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// 28 × 28 pixels, row by row; 255 is ink.
    pub pixels: Vec<u8>,
    /// The digit it shows, 0 to 9.
    pub label: u8,
}

/// Reads `mnist_5k.csv.gz` or another table of the same form.
///
/// # Errors
///
/// When the file cannot be read or decompressed, or a line has not 784 pixels and a label.
pub fn read_table(path: &Path) -> Result<Vec<Bitmap>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let plain = GzDecoder::new(BufReader::new(file)).take(MAX_BYTES);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(plain);
    let source = |reason| Error::Source { path: path.to_owned(), reason };
    let rows = reader.byte_records().zip(1..).map(|(record, line)| {
        let record = record.map_err(|e| source(e.to_string()))?;
        bitmap(&record).map_err(|reason| source(format!("line {line}: {reason}")))
    });
    rows.collect()
}

fn bitmap(record: &csv::ByteRecord) -> Result<Bitmap, String> {
    if record.len() != NUM_PIXELS + 1 {
        return Err(format!("{} columns, expected {NUM_PIXELS} pixels and a label", record.len()));
    }
    let mut pixels = record.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let label = pixels.pop().expect("the record is not empty");
    if label > 9 {
        Err(format!("the label is {label}, expected 0 to 9"))
    } else {
        Ok(Bitmap { pixels, label })
    }
}

/// Some writers of such tables print whole numbers as floats.
fn parse(field: &[u8]) -> Result<u8, String> {
    let text = String::from_utf8_lossy(field);
    let number = text.trim().trim_end_matches(".0").parse();
    number.map_err(|_| format!("{text:?} is no whole number from 0 to 255"))
}
