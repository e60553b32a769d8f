//! Several requests on the way at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Does `work` for every number below `num`, at most `num_parallel` at once and each as soon as one of them is done;
/// `on_done` is given the results on this thread, as they come.
pub fn in_parallel<T: Send>(
    num: usize,
    num_parallel: usize,
    work: impl Fn(usize) -> T + Sync,
    mut on_done: impl FnMut(usize, T),
) {
    let (next, work) = (&AtomicUsize::new(0), &work);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..num_parallel.clamp(1, num.max(1)) {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= num || sender.send((index, work(index))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().for_each(|(index, result)| on_done(index, result));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_once() {
        for num_parallel in [0, 1, 3, 100] {
            let mut seen = vec![0; 20];
            in_parallel(
                20,
                num_parallel,
                |index| index * index,
                |index, square| {
                    assert_eq!(square, index * index);
                    seen[index] += 1;
                },
            );
            assert_eq!(seen, [1; 20]);
        }
        in_parallel(0, 4, |_| (), |_, ()| panic!("there was nothing to do"));
    }
}
