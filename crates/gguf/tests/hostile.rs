//! Truncated and made-up files end in an error.

use std::io::Write;
use std::path::Path;

use gguf::{Error, Gguf};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
        .expect("the golden file is there")
}

/// The error that `bytes` end in, opened and read to the end.
fn outcome(bytes: &[u8]) -> Result<(), Error> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("it takes bytes");
    let gguf = Gguf::open(file.path())?;
    for tensor in gguf.tensors() {
        gguf.read(&tensor.name)?;
    }
    for (name, _) in gguf.hf_tensors() {
        gguf.read_hf(&name)?;
    }
    gguf.tokenizer().map(drop)
}

fn refused(bytes: &[u8], reason: &str) {
    let error = outcome(bytes).expect_err(reason).to_string();
    assert!(error.contains(reason), "{error:?} does not say {reason:?}");
}

#[test]
fn truncated_at_every_offset() {
    let bytes = golden("llama.gguf");
    assert!(outcome(&bytes).is_ok());
    // The writer pads after the last tensor.
    let content = bytes.len() - 20;
    for len in 0..content {
        assert!(outcome(&bytes[..len]).is_err(), "a file of {len} bytes was accepted");
    }
}

#[test]
fn every_byte_changed_is_no_panic() {
    let bytes = golden("llama.gguf");
    for at in 0..bytes.len() {
        for change in [0xFF, 0x80, 0x01] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let _ = outcome(&bytes);
        }
    }
}

#[test]
fn counts_beyond_the_file() {
    let start = |tensors: u64, metadata: u64| {
        [b"GGUF".as_slice(), &3u32.to_le_bytes(), &tensors.to_le_bytes(), &metadata.to_le_bytes()]
            .concat()
    };
    refused(b"GGML", "it starts with");
    refused(b"", "magic: 4 items announced at byte 0, but 0 bytes follow");
    refused(&[b"GGUF".as_slice(), &3u32.to_be_bytes()].concat(), "big-endian");
    refused(&start(0, u64::MAX), "metadata: 18446744073709551615 items");
    refused(&start(u64::MAX / 2, 0), "tensor list");
    let entry = |kind: u32, rest: &[u8]| {
        let key = [1u64.to_le_bytes().as_slice(), b"k"].concat();
        [start(0, 1), key, kind.to_le_bytes().to_vec(), rest.to_vec(), vec![0; 16]].concat()
    };
    refused(&entry(8, &u64::MAX.to_le_bytes()), "items announced");
    refused(&entry(13, &[]), "unknown type 13");
    refused(&entry(7, &[2]), "boolean of value 2");
    let array =
        |kind: u32, count: u64| [kind.to_le_bytes().as_slice(), &count.to_le_bytes()].concat();
    refused(&entry(9, &array(9, 1)), "array of arrays");
    refused(&entry(9, &array(0, 1 << 60)), "items announced");
    refused(&entry(9, &array(8, u64::MAX / 4)), "items announced");
}

#[test]
fn impossible_tensors() {
    let tensor = |name: &str, dimensions: &[u64], kind: u32, offset: u64| {
        let mut bytes = (name.len() as u64).to_le_bytes().to_vec();
        bytes.extend(name.as_bytes());
        bytes.extend((dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|d| bytes.extend(d.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes
    };
    let file = |tensors: &[Vec<u8>]| {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        tensors.iter().for_each(|t| bytes.extend(t));
        bytes.resize(bytes.len().next_multiple_of(32) + 64, 0);
        bytes
    };
    refused(&file(&[tensor("t", &[1 << 40, 1 << 40], 0, 0)]), "impossible shape");
    refused(&file(&[tensor("t", &[u64::MAX], 0, 0)]), "impossible shape");
    refused(&file(&[tensor("t", &[4, 0], 0, 0)]), "impossible shape");
    refused(&file(&[tensor("t", &[1; 5], 0, 0)]), "5 dimensions");
    refused(&file(&[tensor("t", &[], 0, 0)]), "0 dimensions");
    refused(&file(&[tensor("t", &[33], 8, 0)]), "rows of 33 are not whole Q8_0 blocks of 32");
    refused(&file(&[tensor("t", &[4], 11, 0)]), "unsupported type 11");
    refused(&file(&[tensor("t", &[4], 0, 8)]), "not a multiple of 32");
    refused(&file(&[tensor("t", &[4], 0, u64::MAX - 31)]), "pass the end");
    refused(&file(&[tensor("t", &[17], 0, 0)]), "68 bytes at 0 pass the end");
    refused(&file(&[tensor("t", &[4], 0, 0), tensor("t", &[4], 0, 32)]), "appears twice");
}
