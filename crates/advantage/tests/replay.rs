//! The buffer: what it draws, how often, in which order, and what it forgets.

use advantage::{Entry, Mixed, ReplayBuffer, ReplayConfig, ReplayUnit};

/// A completion named by its payload.
fn entry(name: u32, advantage: f32, step: u64) -> Entry<u32> {
    Entry { payload: name, advantage, log_probs: vec![-0.1 * name as f32], step, group: 0 }
}

/// `count` completions of `step` with advantage one, named from `first`.
fn fresh(first: u32, count: u32, step: u64) -> Vec<Entry<u32>> {
    (first..first + count).map(|name| entry(name, 1.0, step)).collect()
}

fn names(mixed: &Mixed<u32>) -> Vec<u32> {
    mixed.entries.iter().map(|entry| entry.payload).collect()
}

fn sorted(mut names: Vec<u32>) -> Vec<u32> {
    names.sort_unstable();
    names
}

#[test]
fn an_update_is_refilled_to_its_size() {
    let config = ReplayConfig::new(8, 1);
    let mut buffer = ReplayBuffer::default();
    let first = buffer.mix(fresh(0, 6, 0), 0, &config);
    assert_eq!(names(&first), [0, 1, 2, 3, 4, 5], "nothing to draw from yet");
    assert_eq!((first.effective_before, first.effective_after), (0.75, 0.75));

    let second = buffer.mix(fresh(10, 3, 1), 1, &config);
    assert_eq!((second.num_fresh, second.entries.len()), (3, 8));
    assert_eq!(names(&second)[..3], [10, 11, 12], "this step's own come first");
    assert!(names(&second)[3..].iter().all(|&name| name < 10), "E itself is never drawn again");
    assert_eq!((second.effective_before, second.effective_after), (0.375, 1.0));
    assert_eq!(buffer.len(), 9, "what was drawn stays");
    assert_eq!(second.entries[3].step, 0);
    assert_eq!(second.entries[3].log_probs, [-0.1 * second.entries[3].payload as f32]);
}

#[test]
fn a_full_update_draws_nothing() {
    let config = ReplayConfig::new(4, 1);
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 4, 0), 0, &config);
    assert_eq!(names(&buffer.mix(fresh(10, 5, 1), 1, &config)), [10, 11, 12, 13, 14]);
}

#[test]
fn an_exhausted_buffer_repeats_nothing() {
    let config = ReplayConfig::new(100, 1);
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 5, 0), 0, &config);
    let mixed = buffer.mix(fresh(10, 2, 1), 1, &config);
    assert_eq!(sorted(names(&mixed)), [0, 1, 2, 3, 4, 10, 11]);
    assert!((mixed.effective_after - 0.07).abs() < 1e-12);
}

#[test]
fn no_advantage_is_never_drawn() {
    let config = ReplayConfig { exponent: 0.0, ..ReplayConfig::new(10, 1) };
    let mut buffer = ReplayBuffer::default();
    buffer.mix(vec![entry(0, 0.0, 0), entry(1, -0.5, 0), entry(2, f32::NAN, 0)], 0, &config);
    assert_eq!(names(&buffer.mix(vec![], 1, &config)), [1]);
}

/// The first draw of 20,000 steps from advantages 4, -2, 1 and 1 (their sum is 8).
fn first_draws(exponent: f64) -> [f64; 4] {
    let config = ReplayConfig { exponent, staleness: u64::MAX, ..ReplayConfig::new(1, 7) };
    let mut buffer = ReplayBuffer::default();
    let group =
        [4.0, -2.0, 1.0, 1.0].iter().zip(0..).map(|(&advantage, name)| entry(name, advantage, 0));
    buffer.mix(group.collect(), 0, &config);
    let mut counts = [0.0; 4];
    for step in 1..=20_000 {
        counts[names(&buffer.mix(vec![], step, &config))[0] as usize] += 1.0 / 20_000.0;
    }
    counts
}

// SSR (arXiv:2504.08837), section 3: P(j) = |Â_j|^α / Σ_k |Â_k|^α
#[test]
fn draws_are_proportional_to_the_advantage() {
    for (exponent, want) in [
        (1.0, [0.5, 0.25, 0.125, 0.125]),
        (2.0, [16.0 / 22.0, 4.0 / 22.0, 1.0 / 22.0, 1.0 / 22.0]),
        (0.0, [0.25; 4]),
    ] {
        // four standard deviations of a share of 20,000 are at most 0.0142
        for (got, want) in first_draws(exponent).into_iter().zip(want) {
            assert!((got - want).abs() < 0.0142, "exponent {exponent}: got {got}, want {want}");
        }
    }
}

#[test]
fn the_second_draw_is_proportional_among_the_rest() {
    let config = ReplayConfig { staleness: u64::MAX, ..ReplayConfig::new(2, 3) };
    let mut buffer = ReplayBuffer::default();
    buffer.mix(vec![entry(0, 2.0, 0), entry(1, 1.0, 0), entry(2, 1.0, 0)], 0, &config);
    let orders = (1..=20_000).map(|step| names(&buffer.mix(vec![], step, &config)));
    let share = orders.filter(|order| order == &[0, 1]).count() as f64 / 20_000.0;
    assert!((share - 0.5 * 0.5).abs() < 0.0142, "{share}");
}

#[test]
fn old_entries_leave() {
    let config = ReplayConfig::new(4, 1);
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 2, 10), 10, &config);
    assert!(buffer.is_drawable(14, &config) && !buffer.is_drawable(15, &config));
    assert_eq!(buffer.mix(vec![], 14, &config).entries.len(), 2, "four steps old");
    assert_eq!(buffer.mix(vec![], 15, &config).entries.len(), 0, "five steps old");
    assert!(buffer.is_empty());
}

#[test]
fn the_oldest_leave_a_full_buffer() {
    let config = ReplayConfig { capacity: 3, ..ReplayConfig::new(4, 1) };
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 2, 0), 0, &config);
    buffer.mix(fresh(10, 2, 1), 1, &config);
    assert_eq!(buffer.len(), 3);
    assert_eq!(sorted(names(&buffer.mix(vec![], 2, &config))), [1, 10, 11]);
}

#[test]
fn clearing_forgets_everything() {
    let config = ReplayConfig::new(4, 1);
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 2, 0), 0, &config);
    buffer.clear();
    assert!(buffer.is_empty() && buffer.mix(vec![], 1, &config).entries.is_empty());
}

/// Ten steps of three fresh completions each, from the given step on.
fn run(buffer: &mut ReplayBuffer<u32>, steps: std::ops::Range<u64>, seed: u64) -> Vec<Vec<u32>> {
    let config = ReplayConfig::new(8, seed);
    steps.map(|step| names(&buffer.mix(fresh(10 * step as u32, 3, step), step, &config))).collect()
}

#[test]
fn draws_depend_on_seed_and_step_only() {
    let whole = run(&mut ReplayBuffer::default(), 0..10, 5);
    assert_eq!(whole, run(&mut ReplayBuffer::default(), 0..10, 5));
    assert_ne!(whole, run(&mut ReplayBuffer::default(), 0..10, 6));
    let config = ReplayConfig::new(4, 5);
    let mut buffer = ReplayBuffer::default();
    buffer.mix(fresh(0, 30, 0), 0, &config);
    assert_ne!(
        buffer.clone().mix(vec![], 1, &config),
        buffer.mix(vec![], 2, &config),
        "each step draws anew"
    );
}

#[test]
fn a_saved_buffer_continues_as_if_nothing_happened() {
    let mut buffer = ReplayBuffer::default();
    run(&mut buffer, 0..5, 5);
    buffer.mix(vec![entry(7, 1.0 / 3.0, 5)], 5, &ReplayConfig::new(8, 5));
    let text = serde_json::to_string(&buffer).unwrap();
    let mut loaded: ReplayBuffer<u32> = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded, buffer, "to the bit");
    assert_eq!(run(&mut buffer, 6..10, 5), run(&mut loaded, 6..10, 5));
}

/// Groups of three: number 0 has small advantages, 1 large ones, 2 none, 3 middling ones.
fn groups() -> Vec<Entry<u32>> {
    let advantages = [0.1, 2.0, 0.0, 1.0];
    let of = |(group, advantage): (u32, f32)| {
        (0..3).map(move |i| Entry { group: group.into(), ..entry(10 * group + i, advantage, 0) })
    };
    (0..).zip(advantages).flat_map(of).collect()
}

#[test]
fn groups_are_drawn_whole_by_their_sum_and_only_while_they_fit() {
    let unit = ReplayUnit::Group;
    let config =
        |num| ReplayConfig { unit, staleness: u64::MAX, capacity: 99, ..ReplayConfig::new(num, 3) };
    let mut buffer = ReplayBuffer::default();
    buffer.mix(groups(), 0, &config(12));
    let mut counts = [0.0; 4];
    for step in 1..=20_000 {
        let drawn = names(&buffer.mix(vec![], step, &config(4)));
        assert_eq!(drawn.len(), 3, "four are missing, and a second group does not fit");
        assert!(drawn.iter().zip(drawn[0]..).all(|(&name, want)| name == want), "{drawn:?}");
        counts[drawn[0] as usize / 10] += 1.0 / 20_000.0;
    }
    for (got, want) in counts.into_iter().zip([0.1f64 / 3.1, 2.0 / 3.1, 0.0, 1.0 / 3.1]) {
        assert!((got - want).abs() < 0.0142, "got {got}, want {want}");
    }
    assert_eq!(buffer.mix(vec![], 1, &config(100)).entries.len(), 9, "exhausted");
}

#[test]
fn a_group_leaves_whole() {
    let kept = |unit| {
        let config = ReplayConfig { capacity: 7, unit, ..ReplayConfig::new(100, 3) };
        let mut buffer = ReplayBuffer::default();
        buffer.mix(groups(), 0, &config);
        buffer.len()
    };
    // Of twelve, five are too many: two groups, the second of which goes in part only where parts are drawn.
    assert_eq!((kept(ReplayUnit::Response), kept(ReplayUnit::Group)), (7, 6));
}

#[test]
fn a_buffer_of_another_version_is_refused() {
    let text = serde_json::to_string(&ReplayBuffer::<u32>::default()).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":7");
    let error = serde_json::from_str::<ReplayBuffer<u32>>(&newer).unwrap_err().to_string();
    assert!(error.starts_with("version 7, expected 1"), "{error}");
    assert!(serde_json::from_str::<ReplayBuffer<u32>>("{\"entries\":[]}").is_err());
}
