//! Verdicts on files of pairs, and how fast they come.
//!
//! ```sh
//! cargo run --release -p reward --example verify_pairs -- crates/reward/tests/golden/*.json
//! ```
//!
//! Each file has `cases` with `gold`, `prediction` and `equivalent`. Prints every pair on which the
//! verdict differs, the agreement, and the pairs per second of the fastest of several rounds;
//! `math_verify_speed.py` beside it prints Math-Verify's.

use std::time::Instant;

use reward::verify;

/// Rounds over all pairs.
const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let cases = file["cases"].as_array().ok_or("no cases")?;
        let text =
            |case: &serde_json::Value, key: &str| case[key].as_str().unwrap_or("").to_owned();
        let pairs: Vec<(String, String, bool)> = cases
            .iter()
            .map(|case| (text(case, "gold"), text(case, "prediction"), case["equivalent"] == true))
            .collect();
        report(&path, &pairs);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example says what it found")]
fn report(path: &str, pairs: &[(String, String, bool)]) {
    let mut num_agreed = 0;
    for (number, (gold, prediction, want)) in pairs.iter().enumerate() {
        let verdict = verify(gold, prediction);
        num_agreed += usize::from(verdict.equivalent == *want);
        if verdict.equivalent != *want {
            let end = prediction.char_indices().rev().nth(159).map_or(0, |(at, _)| at);
            println!("{number}: want {want}: {gold:?} | {:?}\n    {verdict:?}", &prediction[end..]);
        }
    }
    let round = || {
        let start = Instant::now();
        let equal = pairs.iter().filter(|(g, p, _)| verify(g, p).equivalent).count();
        std::hint::black_box(equal);
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min);
    let count = pairs.len();
    println!(
        "{path}: {num_agreed} of {count} agree; {:.0} pairs per second",
        count as f64 / fastest
    );
}
