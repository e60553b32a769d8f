//! A golden file is written, read back, and refuses what it does not hold.

use std::path::PathBuf;

use safetensors::{Dtype, serialize, tensor::TensorView};
use testkit::{Golden, json};

/// A file in the target folder that no other test of this name writes.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn arrays(name: &str) -> Golden {
    let logits: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let ids: Vec<u8> = [7i64].iter().flat_map(|x| x.to_le_bytes()).collect();
    let views = [
        ("logits", TensorView::new(Dtype::F32, vec![1, 2], &logits).expect("valid view")),
        ("ids", TensorView::new(Dtype::I64, vec![1], &ids).expect("valid view")),
    ];
    std::fs::write(file(name), serialize(views, None).expect("valid")).expect("writable");
    Golden::open(file(name))
}

#[test]
fn arrays_come_back() {
    let golden = arrays("arrays.safetensors");
    assert_eq!(golden.names(), ["ids", "logits"]);
    assert_eq!(golden.shape("logits"), [1, 2]);
    assert_eq!(golden.f32("logits"), [1.5, -2.0]);
    assert_eq!(golden.i64("ids"), [7]);
}

#[test]
#[should_panic(expected = "absent in ")]
fn a_missing_array_is_named() {
    arrays("missing.safetensors").f32("absent");
}

#[test]
#[should_panic(expected = "ids in ")]
fn a_wrong_type_is_named() {
    arrays("type.safetensors").f32("ids");
}

#[test]
fn json_comes_back() {
    std::fs::write(file("value.json"), r#"{"loss": 0.5}"#).unwrap();
    assert_eq!(json(file("value.json"))["loss"], 0.5);
}

#[test]
#[should_panic(expected = "nowhere.json")]
fn a_missing_file_is_named() {
    json(file("nowhere.json"));
}
