//! Questions that more than one stage asks.

mod consistency;
mod correctness;
mod rubric;

pub use consistency::{Consistency, Consistent};
pub use correctness::{Correct, Correctness, without_tags};
pub use rubric::{Rating, Rubric};
