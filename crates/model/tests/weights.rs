//! Checkpoints as untrusted input, and as files that survive a failure.

use std::fs;
use std::path::{Path, PathBuf};

use model::Error;
use model::weights::{Checkpoint, Staging, Stored, TensorSpec, save, save_file};
use serde_json::{Value, json};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// A file with this header and so many bytes of data.
fn file(folder: &Path, header: &Value, data: usize) -> PathBuf {
    let header = header.to_string().into_bytes();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend((0..data).map(|i| i as u8));
    let path = folder.join("model.safetensors");
    fs::write(&path, bytes).expect("test file");
    path
}

fn entry(dtype: &str, shape: &[u64], begin: u64, end: u64) -> Value {
    json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})
}

fn message(result: Result<Checkpoint, Error>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn a_good_file_reads_in_all_three_formats() {
    let folder = tempfile::tempdir().unwrap();
    let specs = [
        TensorSpec::new("a", &[2, 2], Stored::F32),
        TensorSpec::new("b", &[3], Stored::F16),
        TensorSpec::new("c", &[1, 3], Stored::Bf16),
        TensorSpec::new("empty", &[0, 4], Stored::F32),
    ];
    let values = |name: &str| {
        Ok(match name {
            "a" => vec![1.5, -0.1, f32::MAX, 1e-40],
            "empty" => vec![],
            _ => vec![0.5, -2.0, 65504.0],
        })
    };
    save(folder.path(), &specs, u64::MAX, values).unwrap();
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    let listed = checkpoint.tensors();
    let dtypes: Vec<&str> = listed.iter().map(|stored| stored.dtype.as_str()).collect();
    assert_eq!(dtypes, ["F32", "F16", "BF16", "F32"]);
    assert_eq!(listed.iter().map(|stored| stored.bytes).sum::<u64>(), 16 + 6 + 6);
    assert_eq!(checkpoint.take("a", &[2, 2]).unwrap(), [1.5, -0.1, f32::MAX, 1e-40]);
    assert_eq!(checkpoint.take("b", &[3]).unwrap(), [0.5, -2.0, 65504.0]);
    assert_eq!(checkpoint.take("c", &[1, 3]).unwrap(), [0.5, -2.0, 65536.0]);
    assert_eq!(checkpoint.take("empty", &[0, 4]).unwrap(), [0.0; 0]);
    checkpoint.finish().unwrap();
    // And by the reference implementation.
    let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 4);
}

#[test]
fn missing_misshapen_and_extra_tensors_are_named() {
    let case = golden("dinov2");
    let mut checkpoint = Checkpoint::open(&case).unwrap();
    let error = checkpoint.take("layernorm.wait", &[64]).unwrap_err().to_string();
    assert!(error.ends_with("tensor `layernorm.wait` is missing"), "{error}");
    let error = checkpoint.take("layernorm.weight", &[65]).unwrap_err().to_string();
    let expected = "`layernorm.weight` has shape [64], the configuration implies [65]";
    assert!(error.contains(expected) && error.contains("model.safetensors"), "{error}");
    checkpoint.skip_prefix("encoder.layer.");
    checkpoint.skip_prefix("embeddings.p");
    checkpoint.take("layernorm.bias", &[64]).unwrap();
    let error = checkpoint.finish().unwrap_err().to_string();
    let expected = "2 tensors have no place in this model: embeddings.cls_token, layernorm.weight";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn headers_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // An overlap, a gap, bytes past the end, bytes after the end, a size unlike the shape's.
        (json!({"a": entry("F32", &[2], 0, 8), "b": entry("F32", &[2], 4, 12)}), 12, "expected 8"),
        (json!({"a": entry("F32", &[2], 4, 12)}), 12, "expected 0"),
        (json!({"a": entry("F32", &[4], 0, 16)}), 8, "truncated"),
        (json!({"a": entry("F32", &[1], 0, 4)}), 8, "4 bytes follow the last tensor"),
        (json!({"a": entry("F32", &[3], 0, 8)}), 8, "of shape [3] takes 8 bytes"),
        (json!({"a": entry("F16", &[u64::MAX, 2], 0, 8)}), 8, "takes 8 bytes"),
        (json!({"a": entry("F32", &[1], 4, 0)}), 4, "spans bytes 4..0"),
        (json!({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}), 4, "header"),
        (json!({"a": {"dtype": "F32", "shape": [1]}}), 4, "data_offsets"),
        (json!([1, 2]), 0, "header"),
    ];
    for (header, data, expected) in cases {
        let error = message(Checkpoint::open(&file(folder.path(), &header, data)));
        assert!(error.contains("damaged weight file") && error.contains(expected), "{error}");
    }
    let path = folder.path().join("model.safetensors");
    for (size, expected) in [(u64::MAX, "header of 18446744073709551615"), (99, "header of 99")] {
        fs::write(&path, size.to_le_bytes()).unwrap();
        let error = message(Checkpoint::open(&path));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let specs = [TensorSpec::new("a", &[3], Stored::F32), TensorSpec::new("b", &[2], Stored::F16)];
    save_file(&path, &specs, |name| Ok(vec![1.0; if name == "a" { 3 } else { 2 }])).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(Checkpoint::open(&path).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn formats_we_do_not_read_fail_when_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &json!({"a": entry("I64", &[1], 0, 8)}), 8);
    let error = Checkpoint::open(&path).unwrap().take("a", &[1]).unwrap_err().to_string();
    assert!(error.ends_with("`a` is stored as I64; F32, F16 and BF16 are supported"), "{error}");
}

#[test]
fn an_index_must_agree_with_its_shards() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), &json!({"a": entry("F32", &[1], 0, 4)}), 4);
    let index = |map: Value| {
        let path = folder.path().join("model.safetensors.index.json");
        fs::write(path, json!({ "weight_map": map }).to_string()).unwrap();
        Checkpoint::open(folder.path())
    };
    index(json!({"a": "model.safetensors"})).unwrap().take("a", &[1]).unwrap();
    let error = message(index(json!({"a": "model.safetensors", "b": "model.safetensors"})));
    assert!(error.ends_with("tensor `b` is missing"), "{error}");
    let error = message(index(json!({"a": "../model.safetensors"})));
    assert!(error.contains("not a plain file name"), "{error}");
    let error = message(index(json!({"a": "model-2.safetensors"})));
    assert!(error.contains("model-2.safetensors"), "{error}");
}

#[test]
fn a_folder_without_weights_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = message(Checkpoint::open(folder.path()));
    assert!(error.contains("no model.safetensors"), "{error}");
    let error = message(Checkpoint::open(&folder.path().join("absent.safetensors")));
    assert!(error.contains("absent.safetensors: "), "{error}");
}

#[test]
fn shards_are_split_by_size_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let specs: Vec<TensorSpec> =
        (0..5).map(|i| TensorSpec::new(format!("t{i}"), &[i + 1], Stored::F32)).collect();
    let values = |name: &str| Ok(vec![1.0; name[1..].parse::<usize>().unwrap() + 1]);
    save(folder.path(), &specs, 24, values).unwrap();
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // 4 + 8 + 12 bytes, 16 bytes, 20 bytes.
    let expected = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"];
    assert_eq!(names[..2], expected);
    assert_eq!(names.len(), 4);
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    for spec in &specs {
        checkpoint.take(&spec.name, &spec.shape).unwrap();
    }
    checkpoint.finish().unwrap();
}

#[test]
fn a_save_that_fails_leaves_the_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let specs = [TensorSpec::new("a", &[1], Stored::F32), TensorSpec::new("b", &[1], Stored::F32)];
    let write = |value: f32, fail: bool| -> Result<(), Error> {
        let staging = Staging::new(folder.path())?;
        save(staging.path(), &specs, 4, |name| match fail && name == "b" {
            true => Err(Error::Input { what: "disk", reason: "full".into() }),
            false => Ok(vec![value]),
        })?;
        staging.commit()
    };
    write(1.0, false).unwrap();
    write(2.0, true).unwrap_err();
    let read = || Checkpoint::open(folder.path()).unwrap().take("a", &[1]).unwrap();
    assert_eq!(read(), [1.0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "two shards and their index");
    write(3.0, false).unwrap();
    assert_eq!(read(), [3.0]);
    // A save in one file takes the place of shards, which must not outlive it.
    let staging = Staging::new(folder.path()).unwrap();
    save(staging.path(), &specs, u64::MAX, |_| Ok(vec![4.0])).unwrap();
    staging.commit().unwrap();
    assert_eq!(read(), [4.0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_files_in_the_folder_survive_a_save() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let path = folder.path().join("adapter.safetensors");
    let spec = [TensorSpec::new("a", &[1], Stored::F32)];
    save_file(&path, &spec, |_| Ok(vec![1.0])).unwrap();
    save_file(&path, &spec, |_| Ok(vec![1.0, 2.0])).unwrap_err();
    assert_eq!(Checkpoint::open(&path).unwrap().take("a", &[1]).unwrap(), [1.0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
