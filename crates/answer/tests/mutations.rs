//! Formulas spoilt at random, by seed: every text gets a verdict, soon, and never a panic.
//!
//! The same without end is the fuzz target `crates/answer/fuzz/fuzz_targets/compare.rs`.

use std::time::{Duration, Instant};

use answer::{Extraction, compare, read};

/// Formulas to begin with.
const SEEDS: [&str; 24] = [
    r"\boxed{\frac{1}{2}}",
    r"$x^2 + 2xy - \sqrt[3]{7}$",
    r"The final answer is $\left(\frac{3}{4}, \infty\right)$.",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    r"$\{1, 2, \pi\}$",
    "1,234,567.89",
    "12 1/3 %",
    "5e-7 m/s",
    r"$3 \pm \sqrt{2}$",
    r"$x \in [0, 1) \cup (2, 3]$",
    r"$2x + 3 \le 7$",
    r"\text{east} 45^\circ",
    r"$\sin^2\theta + \cos^2\theta = 1$",
    r"$10^{10^{10}}$",
    r"$\log_2 8 = 3$",
    r"$\binom{10}{3}!$",
    r"Answer: (B)",
    r"$a = b = c = 7$",
    r"$-\frac{-3}{-\frac{4}{5}}$",
    r"$\int_0^1 x\,dx$",
    r"\boxed{\boxed{7}}",
    "½ of 3⁄4",
    "x₁ = −2, x₂ = 5",
    r"$1.\overline{3}$",
];

/// Pieces that parsers stumble over.
const PIECES: [&str; 24] = [
    "{", "}", "(", "]", r"\", r"\frac", r"\sqrt", r"\left", r"\right", "^", "_", "$", "&", r"\\",
    ",", "-", "9", r"\boxed{", "é", "\u{0}", "=", "%", r"\begin{", "!",
];

/// Mutations of a run: seconds in a test build.
const NUM_MUTATIONS: u64 = 20_000;

/// One verdict takes no longer, on a machine that does other work too.
const LONGEST: Duration = Duration::from_secs(2);

/// SplitMix64 (Steele, Lea and Flood, 2014): the n-th draw of a seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// A seed with some of its characters gone, doubled, or replaced by pieces of others.
fn mutated(draws: &mut Draws) -> String {
    let mut characters: Vec<char> = SEEDS[draws.below(SEEDS.len())].chars().collect();
    for _ in 0..=draws.below(8) {
        let place = draws.below(characters.len() + 1);
        match draws.below(5) {
            0 if place < characters.len() => drop(characters.remove(place)),
            1 => {
                let piece = PIECES[draws.below(PIECES.len())];
                characters.splice(place..place, piece.chars());
            }
            2 => {
                let other: Vec<char> = SEEDS[draws.below(SEEDS.len())].chars().collect();
                let cut = draws.below(other.len());
                characters.splice(place..place, other[cut..].iter().copied());
            }
            3 => {
                let piece = PIECES[draws.below(PIECES.len())].repeat(1 + draws.below(64));
                characters.splice(place..place, piece.chars());
            }
            _ => characters.truncate(place.max(1)),
        }
    }
    characters.into_iter().collect()
}

#[test]
fn every_spoilt_formula_gets_a_verdict() {
    for seed in 0..NUM_MUTATIONS {
        let draws = &mut Draws(seed << 32);
        let (gold, prediction) = (mutated(draws), mutated(draws));
        let begun = Instant::now();
        for extraction in [Extraction::Bare, Extraction::Response] {
            let (gold, prediction) = (read(&gold, Extraction::Bare), read(&prediction, extraction));
            let verdict = compare(gold.as_ref(), prediction.as_ref());
            assert_eq!(
                verdict,
                compare(gold.as_ref(), prediction.as_ref()),
                "one verdict each time"
            );
        }
        let taken = begun.elapsed();
        assert!(taken < LONGEST, "seed {seed}: {gold:?} and {prediction:?} took {taken:?}");
    }
}
