//! Each test proves one sentence of a paper or one printed number.

use advantage::{Scale, group_relative, is_effective};

const TRL: Scale = Scale::Std { epsilon: 1e-4 };
const VERL: Scale = Scale::Std { epsilon: 1e-6 };

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-6, "got {got}, want {want}");
}

/// Rewards of a group of eight with `correct` right answers, the right ones first.
fn binary(correct: usize) -> Vec<f64> {
    (0..8).map(|i| f64::from(u8::from(i < correct))).collect()
}

// R1V2 (arXiv:2504.16656), equation 6, on groups of eight; numbers of TRL and of verl.
#[test]
fn advantages_of_binary_groups() {
    let cases = [
        (1, TRL, 2.474_174, -0.353_453),
        (1, VERL, 2.474_867, -0.353_552),
        (4, TRL, 0.935_239, -0.935_239),
        (7, TRL, 0.353_453, -2.474_174),
        (1, Scale::None, 0.875, -0.125),
    ];
    for (correct, scale, right, wrong) in cases {
        let advantages = group_relative(&binary(correct), scale);
        close(advantages[0], right);
        close(advantages[7], wrong);
        close(advantages.iter().sum(), 0.0);
    }
}

// The golden checkpoint's group: rewards that are not binary.
#[test]
fn advantages_of_a_graded_group() {
    let want = [0.833_222_210, -0.499_933_332, 0.833_222_210, -1.166_511_059];
    let got = group_relative(&[1.0, 0.0, 1.0, -0.5], TRL);
    got.iter().zip(want).for_each(|(&got, want)| close(got, want));
}

// R1V2, section 3.3.2: "groups uniformly right or wrong give zero advantage".
#[test]
fn equal_rewards_give_exactly_nothing() {
    for scale in [TRL, VERL, Scale::None] {
        // 0.1 is not a binary fraction: its mean over three differs from it in the last digit
        for reward in [0.0, 1.0, 0.1, -15.5] {
            assert_eq!(group_relative(&[reward; 3], scale), [0.0; 3]);
        }
    }
}

#[test]
fn a_group_of_one_or_none_has_no_baseline() {
    assert_eq!(group_relative(&[1.0], TRL), [0.0]);
    assert_eq!(group_relative(&[], TRL), [0.0; 0]);
}

// R1V2, figure 1: all-right and all-wrong groups go to the bin, mixed groups to the buffer.
#[test]
fn only_mixed_groups_are_effective() {
    for correct in 0..=8usize {
        let group: Vec<bool> = (0..8).map(|i| i < correct).collect();
        assert_eq!(is_effective(&group), (1..8).contains(&correct), "{correct} of 8");
    }
    assert!(!is_effective(&[]));
    assert!(!is_effective(&[true]));
}

#[test]
fn extreme_rewards_stay_finite() {
    let advantages = group_relative(&[1e300, -1e300, 0.0], Scale::None);
    assert!(advantages.iter().all(|a| a.is_finite()));
    let advantages = group_relative(&[1.0, 1.0 + 1e-15], VERL);
    assert!(
        advantages.iter().all(|a| a.abs() < 1e-8),
        "noise must not be amplified: {advantages:?}"
    );
}
