//! AdamW, and the sums the engine asks of gradients.

use crate::optimizer::{AdamW, Update};

use crate::cuda::compile::ELEMENTWISE;
use crate::cuda::launch::Launch;
use crate::cuda::memory::Buffer;

/// One AdamW update (arXiv:1711.05101, algorithm 2). `first` and `second` are the moments.
///
/// # Panics
/// If the lengths differ.
pub fn adamw(
    value: &mut Buffer,
    gradient: &Buffer,
    (first, second): (&mut Buffer, &mut Buffer),
    rule: &AdamW,
) {
    let (card, n) = (value.card().clone(), value.len());
    assert_eq!([gradient.len(), first.len(), second.len()], [n; 3], "gradient and moments");
    let Update { keep, rate, beta1, beta2, root, eps } = Update::new(rule);
    let launch =
        Launch::new(&card, &ELEMENTWISE, "adamw").arg(value).arg(gradient).arg(first).arg(second);
    let constants = [keep, rate, beta1.0, beta1.1, beta2.0, beta2.1, root, eps];
    constants.into_iter().fold(launch, Launch::arg).over(n);
}

/// `Σ x²` in f64.
pub fn sum_squares(x: &Buffer) -> f64 {
    let launch = Launch::new(x.card(), &ELEMENTWISE, "sum_squares");
    let grid = launch.grid_over(x.len());
    let sums = Buffer::<f64>::zeros(x.card(), grid.blocks[0] as usize);
    launch.arg(x).arg(&sums).arg(x.len() as i64).run(grid);
    sums.download().into_iter().sum()
}

/// Whether no value is infinite or NaN.
pub fn all_finite(x: &Buffer) -> bool {
    let found = Buffer::<i32>::zeros(x.card(), 1);
    Launch::new(x.card(), &ELEMENTWISE, "find_non_finite").arg(x).arg(&found).over(x.len());
    found.download() == [0]
}
