//! TensorBoard event files: length-prefixed protobuf records, each guarded by two masked CRC-32C sums.
//!
//! ```text
//! record   length u64 | mask(crc(length)) u32 | event | mask(crc(event)) u32        all little-endian
//! mask     rotate_right(crc, 15) + 0xa282ead8
//! ```
//!
//! Field numbers are those of TensorFlow's `event.proto` and `summary.proto`; only what a scalar needs
//! is declared, readers of protobuf skip the rest.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::Error;

/// Named by TensorBoard's rule that a file name contains `tfevents`. One file a run, so that a resume
/// can cut and continue it.
const FILE_NAME: &str = "events.out.tfevents.0000000000.sightline";

const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 4;

/// One record of an event file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    /// The optimiser step the values belong to.
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    /// `brain.Event:2` in a file's first record.
    #[prost(string, optional, tag = "3")]
    pub(crate) file_version: Option<String>,
    /// The values.
    #[prost(message, optional, tag = "5")]
    pub(crate) summary: Option<Summary>,
}

/// The values of one event.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    /// One per tag.
    #[prost(message, repeated, tag = "1")]
    pub(crate) value: Vec<Scalar>,
}

/// One value with its tag.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scalar {
    /// The name under which TensorBoard draws the curve.
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    /// The value.
    #[prost(float, optional, tag = "2")]
    pub(crate) simple_value: Option<f32>,
}

/// An event file open for appending.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens the event file of `folder`, without the events after `step` and without a torn last record.
    pub(crate) fn open(folder: &Path, step: u64, wall_time: f64) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let path = folder.join(FILE_NAME);
        let mut options = OpenOptions::new();
        let file =
            options.create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let kept = bytes_until(&bytes, step);
        file.set_len(kept as u64).map_err(Error::io("truncate", &path))?;
        let mut events = Self { path, file };
        if kept == 0 {
            let file_version = Some("brain.Event:2".to_owned());
            events.append(&Event { wall_time, step: 0, file_version, summary: None })?;
        }
        Ok(events)
    }

    /// Appends the scalars of one step, as one event.
    pub(crate) fn scalars(
        &mut self,
        step: u64,
        wall_time: f64,
        scalars: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<(), Error> {
        let value = scalars
            .into_iter()
            .map(|(tag, value)| Scalar { tag, simple_value: Some(value as f32) })
            .collect();
        let summary = Some(Summary { value });
        self.append(&Event { wall_time, step: step as i64, file_version: None, summary })
    }

    /// One write per record, so that a kill tears at most the last one.
    fn append(&mut self, event: &Event) -> Result<(), Error> {
        self.file.write_all(&frame(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }
}

fn frame(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(HEADER_BYTES + event.len() + FOOTER_BYTES);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(event);
    record.extend_from_slice(&masked_crc(event).to_le_bytes());
    record
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Splits the first whole and undamaged record off `bytes`.
fn next_event(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    let (event, rest) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (event_crc, rest) = rest.split_first_chunk::<4>()?;
    let sound = u32::from_le_bytes(*length_crc) == masked_crc(length)
        && u32::from_le_bytes(*event_crc) == masked_crc(event);
    sound.then_some(())?;
    Some((Event::decode(event).ok()?, rest))
}

/// Length of the leading records that are sound and belong to no step after `step`.
fn bytes_until(bytes: &[u8], step: u64) -> usize {
    let mut rest = bytes;
    while let Some((event, after)) = next_event(rest)
        && event.step <= step as i64
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(folder: &Path) -> Vec<Event> {
        let bytes = std::fs::read(folder.join(FILE_NAME)).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while let Some((event, after)) = next_event(rest) {
            events.push(event);
            rest = after;
        }
        assert!(rest.is_empty(), "{} bytes left over", rest.len());
        events
    }

    fn write_steps(folder: &Path, from: u64, to: u64) {
        let mut file = EventFile::open(folder, from, 1.5).unwrap();
        for step in from + 1..=to {
            file.scalars(step, 2.5, [("train/loss".to_owned(), step as f64 / 4.0)]).unwrap();
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        write_steps(folder.path(), 0, 2);
        let found = events(folder.path());
        assert_eq!(found[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(found[0].wall_time, 1.5);
        assert_eq!(found.len(), 3);
        assert_eq!((found[2].step, found[2].wall_time), (2, 2.5));
        let scalar = &found[2].summary.as_ref().unwrap().value[0];
        assert_eq!((scalar.tag.as_str(), scalar.simple_value), ("train/loss", Some(0.5)));
    }

    #[test]
    fn a_resume_cuts_later_events_and_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        write_steps(folder.path(), 0, 5);
        let path = folder.path().join(FILE_NAME);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        write_steps(folder.path(), 3, 6);
        let steps: Vec<i64> = events(folder.path()).iter().map(|event| event.step).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4, 5, 6]);
    }

    // TensorBoard's own words for the sum of eight zero bytes, and for the record around an event:
    // from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
    // print(hex(masked_crc32c(bytes(8))), hex(masked_crc32c(b"123456789")))
    #[test]
    fn masked_sums_equal_those_of_tensorboard() {
        assert_eq!(masked_crc(&[0; 8]), 0x0798_0329);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    // from tensorboard.compat.proto.event_pb2 import Event
    // from tensorboard.compat.proto.summary_pb2 import Summary
    // print(Event(wall_time=2.5, step=3, summary=Summary(value=[
    //     Summary.Value(tag="train/loss", simple_value=0.5)])).SerializeToString().hex())
    #[test]
    fn bytes_equal_those_of_tensorboard() {
        let value = vec![Scalar { tag: "train/loss".to_owned(), simple_value: Some(0.5) }];
        let summary = Some(Summary { value });
        let bytes = Event { wall_time: 2.5, step: 3, file_version: None, summary }.encode_to_vec();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09000000000000044010032a130a110a0a747261696e2f6c6f7373150000003f");
    }
}
