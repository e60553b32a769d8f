//! What does not fit a card is said before weights are read. The device is a process's, so this is a program of its own.

use std::path::PathBuf;

use model::vlm::Vlm;
use tensor::{DType, Device};

fn load(dtype: DType) -> Result<Vlm, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/internvl-six-b");
    Vlm::load(&folder, dtype).map_err(|error| error.to_string())
}

#[test]
fn weights_that_a_card_cannot_hold_are_refused() {
    Device::emulated(1 << 16).make_current();
    let error = load(DType::F32).map(drop).unwrap_err();
    assert!(error.contains("an emulated card has 65536 bytes free, the weights take "), "{error}");
    let error = load(DType::Int8).map(drop).unwrap_err();
    assert!(error.contains("an emulated card holds weights as float32 or bfloat16"), "{error}");
    Device::emulated(64 << 20).make_current();
    load(DType::Bf16).unwrap();
}
