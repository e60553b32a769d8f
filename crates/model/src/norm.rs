//! A normalisation layer of vision encoder and adapter: RMSNorm, or LayerNorm if it has a bias.

use tensor::{Device, Gradients, Tensor, ops};

use crate::Error;
use crate::config::vision::NormKind;
use crate::parameter::{Part, PartMut};
use crate::weights::Checkpoint;

/// Added to the spread of a value over a sample before dividing by it.
const LEAST_SPREAD: f64 = 1e-2;

/// `x / rms(x) · w`, or `(x − mean) / std · w + b`.
pub(crate) struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f32,
}

impl Norm {
    /// Takes `name.weight` `[size]`, and `name.bias` for a LayerNorm.
    pub(crate) fn take(
        checkpoint: &mut Checkpoint,
        name: &str,
        size: usize,
        kind: NormKind,
        eps: f32,
    ) -> Result<Self, Error> {
        let weight = checkpoint.take_tensor(&format!("{name}.weight"), &[size])?;
        let bias = match kind {
            NormKind::Rms => None,
            NormKind::Layer => Some(checkpoint.take_tensor(&format!("{name}.bias"), &[size])?),
        };
        Ok(Self { weight, bias, eps })
    }

    /// Sets the weight and bias of a LayerNorm so that over the rows of `x` every value comes out
    /// with mean 0 and variance 1; values that hardly vary come out smaller.
    pub(crate) fn standardise(&mut self, x: &Tensor) {
        let Some(bias) = &mut self.bias else { return };
        let (ones, zeros) = (vec![1.0; x.cols()], vec![0.0; x.cols()]);
        let plain = |values| Tensor::from_vec(values, &[x.cols()]);
        let normed = ops::layer_norm(x, &plain(ones), &plain(zeros), self.eps).to(&Device::Cpu);
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        let num_rows = x.rows().max(1) as f64;
        for column in 0..x.cols() {
            let values = || (0..x.rows()).map(|row| f64::from(normed.row(row)[column]));
            let mean = values().sum::<f64>() / num_rows;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / num_rows;
            let weight = 1.0 / (variance.sqrt() + LEAST_SPREAD);
            weights.push(weight as f32);
            biases.push((-mean * weight) as f32);
        }
        self.weight.set(&weights);
        bias.set(&biases);
    }

    /// `[rows, size]` to the same.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        match &self.bias {
            None => ops::rms_norm(x, &self.weight, self.eps),
            Some(bias) => ops::layer_norm(x, &self.weight, bias, self.eps),
        }
    }

    /// The gradient with respect to `x`; adds those of the parameters under `name` that `grads` has.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        grads: &mut Gradients,
        name: &str,
    ) -> Tensor {
        let [weight_name, bias_name] = [format!("{name}.weight"), format!("{name}.bias")];
        match &self.bias {
            None => {
                let grad = grads.get_mut(&weight_name);
                ops::rms_norm_backward(dy, x, &self.weight, self.eps, grad)
            }
            Some(_) => {
                let pair = grads.get_pair_mut(&weight_name, &bias_name);
                ops::layer_norm_backward(dy, x, &self.weight, self.eps, pair)
            }
        }
    }

    /// The parameters, by full name.
    pub(crate) fn parts(&self, name: &str) -> Vec<(String, Part<'_>)> {
        let mut parts = vec![(format!("{name}.weight"), Part::Plain(&self.weight))];
        parts.extend(self.bias.iter().map(|b| (format!("{name}.bias"), Part::Plain(b))));
        parts
    }

    /// As [`parts`](Self::parts), to be replaced.
    pub(crate) fn parts_mut(&mut self, name: &str) -> Vec<(String, PartMut<'_>)> {
        let mut parts = vec![(format!("{name}.weight"), PartMut::Plain(&mut self.weight))];
        parts.extend(self.bias.iter_mut().map(|b| (format!("{name}.bias"), PartMut::Plain(b))));
        parts
    }
}
