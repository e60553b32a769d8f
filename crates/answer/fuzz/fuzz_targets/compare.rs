//! Any two texts get a verdict, in bounded time and without a panic; what is read equals itself.
//!
//! CONTRIBUTING.md says how it is run; the same with seeded mutations is the test `crates/answer/tests/mutations.rs`.

#![no_main]

use answer::{Extraction, compare, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (gold, prediction) = text.split_once('\0').unwrap_or((&text, &text));
    for extraction in [Extraction::Bare, Extraction::Response] {
        let (gold, prediction) = (read(gold, Extraction::Bare), read(prediction, extraction));
        let _ = compare(gold.as_ref(), prediction.as_ref());
        let _ = compare(prediction.as_ref(), gold.as_ref());
    }
});
