//! Questions that more than one stage asks.

mod comparison;
mod consistency;
mod correctness;
mod rubric;

pub use comparison::{Better, Compared, Comparison};
pub use consistency::{Consistency, Consistent};
pub use correctness::{Correct, Correctness, without_tags};
pub use rubric::{Rating, Rubric};
