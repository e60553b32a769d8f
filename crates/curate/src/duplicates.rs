//! Pairs that came before, exactly or nearly.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use minhash_rs::prelude::{LshIndex, MinHash, MinHasher as _, QueryState};

use crate::pair::Pair;
use crate::statistics::Dropped;

/// Hashes of a sketch, and the bands of four that they are indexed by: a similarity of 0.8 shares a band with more than
/// 99.9 % probability, one of 0.5 with 87 %, one of 0.2 with 5 %.
const HASHES: usize = 128;
const BANDS: usize = 32;

type Sketch = MinHash<u64, HASHES>;

/// Drops pairs that came before. Near-duplicates are about the same images, and similar from `threshold` on.
pub(crate) fn drop_duplicates(pairs: &mut [Pair], threshold: f64) {
    let mut seen = HashSet::new();
    for pair in pairs.iter_mut().filter(|pair| pair.is_open()) {
        if !seen.insert(pair.hash.clone()) {
            pair.drop(Dropped::Duplicate, "the same pair came before");
        }
    }
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.is_open()) {
        groups.entry(pair.images.clone()).or_default().push(index);
    }
    for group in groups.values().filter(|group| group.len() > 1) {
        drop_near(pairs, group, threshold);
    }
}

fn drop_near(pairs: &mut [Pair], group: &[usize], threshold: f64) {
    let sketches: Vec<Sketch> = group.iter().map(|&index| sketch(&pairs[index])).collect();
    let index: LshIndex<Sketch, HASHES, BANDS> =
        LshIndex::from_signatures(sketches.iter().cloned());
    let (mut state, mut kept) = (QueryState::new(), vec![true; group.len()]);
    for (at, sketch) in sketches.iter().enumerate() {
        let near = index.candidates(sketch, &mut state);
        let earlier = near
            .iter()
            .map(|candidate| candidate.id as usize)
            .filter(|&other| other < at && kept[other])
            .find(|&other| sketches[other].estimate_jaccard_index(sketch) >= threshold);
        if let Some(other) = earlier {
            kept[at] = false;
            let reason = format!("nearly the same as {}", pairs[group[other]].place);
            pairs[group[at]].drop(Dropped::NearDuplicate, reason);
        }
    }
}

/// Of word triples of the question and both responses, case and spacing aside.
fn sketch(pair: &Pair) -> Sketch {
    let preference = &pair.preference;
    let turns = serde_json::to_string(&preference.prompt.messages).expect("turns have a JSON form");
    let text = format!("{turns} {} | {}", preference.chosen, preference.rejected).to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(3.min(words.len().max(1))).map(hash).collect()
}

fn hash(triple: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    triple.hash(&mut hasher);
    hasher.finish()
}
