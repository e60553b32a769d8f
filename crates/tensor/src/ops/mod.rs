//! The operations, each with its backward beside it, in the order a transformer block uses them.
//!
//! Shapes: `[t, c]` means any tensor seen as `rows() × cols()`. A wrong shape panics.

mod linear;
mod norm;
mod rotary;
mod attention;
mod activation;
mod elementwise;
mod rows;
mod head;
mod optimizer;

pub use activation::{Gelu, gelu, gelu_backward, swiglu, swiglu_backward};
pub use attention::{Attended, attention, attention_backward};
pub use elementwise::{add, scale, scale_columns, scale_columns_backward, scale_rows};
pub use head::{LogProbs, Want, log_probs, log_probs_weight_gradient};
pub use linear::{
    bias_gradient, linear, linear_all, linear_backward, linear_backward_add, weight_gradient,
};
pub use norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use optimizer::{AdamW, adamw, all_finite, sum_squares};
pub use rotary::{RotaryTable, rotary, rotary_backward};
pub use rows::{by_rows, gather_rows, scatter_add_rows, stack_rows, write_rows};
