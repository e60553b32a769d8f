//! The order of training: permutations that depend on seed and epoch alone.

use data::Order;

#[test]
fn each_epoch_is_its_own_permutation() {
    let seen: Vec<_> = Order::shuffled(100, 7).take(300).collect();
    for epoch in seen.chunks(100) {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
    assert_ne!(seen[..100], seen[100..200]);
    assert_ne!(seen[..100], Order::shuffled(100, 8).epoch(0));
    assert_eq!(seen[200..], Order::shuffled(100, 7).epoch(2));
}

#[test]
fn resumed_anywhere_it_continues_the_same() {
    let whole: Vec<_> = Order::shuffled(5, 1).take(25).collect();
    for position in 0..20 {
        let mut order = Order::shuffled(5, 1);
        order.seek(position);
        assert_eq!(order.position(), position);
        assert_eq!(order.by_ref().take(5).collect::<Vec<_>>(), whole[position as usize..][..5]);
        assert_eq!(order.position(), position + 5);
    }
}

/// Pinned, because a checkpoint of an older version must resume in the same order.
#[test]
fn the_order_of_seed_7_never_changes() {
    assert_eq!(Order::shuffled(10, 7).epoch(0), [4, 6, 2, 0, 8, 3, 7, 5, 9, 1]);
}

#[test]
fn in_order_or_empty() {
    assert_eq!(Order::sequential(3).take(5).collect::<Vec<_>>(), [0, 1, 2, 0, 1]);
    assert_eq!(Order::shuffled(0, 1).next(), None);
}
