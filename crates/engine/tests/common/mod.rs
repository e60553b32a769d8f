//! A task small enough to check by eye: `y = W x + b` under half the mean squared error per token.

use engine::{
    Counts, EngineConfig, LrSchedulerType, OptimizerConfig, Parameters, ScheduleConfig, StepLoss,
    Task, TaskError,
};
use tensor::{Gradients, Tensor};

pub(crate) const WEIGHT: &str = "mlp1.1.weight";
pub(crate) const BIAS: &str = "mlp1.1.bias";
const INPUTS: usize = 3;
const OUTPUTS: usize = 2;

/// One token: an input and what to answer.
#[derive(Clone)]
pub(crate) struct Token {
    pub name: String,
    pub x: [f32; INPUTS],
    pub y: [f32; OUTPUTS],
}

#[derive(Default)]
pub(crate) struct Toy {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Whether the loss says which sample is how bad.
    pub tells_samples: bool,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let mut toy = Self::default();
        toy.publish(&parameters()).expect("both parameters are there");
        toy
    }
}

impl Task for Toy {
    type Batch = Vec<Token>;

    fn count(&self, batch: &Self::Batch) -> Counts {
        Counts { tokens: batch.len() as u64, sequences: 1, pairs: 0, weight: 0.5 }
    }

    fn samples(&self, batch: &Self::Batch) -> Vec<String> {
        batch.iter().map(|token| token.name.clone()).collect()
    }

    fn forward_backward(
        &mut self,
        batch: &Self::Batch,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let share = 1.0 / totals.tokens as f32;
        let mut loss = StepLoss::default();
        for Token { name, x, y } in batch {
            if name == "broken" {
                return Err("an image is truncated".into());
            }
            let mut value = 0.0;
            for (row, weight) in self.weight.chunks(INPUTS).enumerate() {
                let answer: f32 = weight.iter().zip(x).map(|(w, x)| w * x).sum();
                let error = answer + self.bias[row] - y[row];
                value += f64::from(0.5 * share * error * error);
                gradients.get_mut(BIAS).ok_or("frozen")?.as_mut_slice()[row] += share * error;
                let gradient = gradients.get_mut(WEIGHT).ok_or("frozen")?.row_mut(row);
                gradient.iter_mut().zip(x).for_each(|(g, x)| *g += share * error * x);
            }
            loss.value += value;
            *loss.metrics.entry("mean_x".into()).or_default() += f64::from(share * x[0]);
            loss.sample_values.extend(self.tells_samples.then_some(value));
        }
        Ok(loss)
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        let values = |name| parameters.get(name).map(Tensor::to_vec).ok_or("no such parameter");
        self.weight = values(WEIGHT)?;
        self.bias = values(BIAS)?;
        Ok(())
    }
}

pub(crate) fn parameters() -> Parameters {
    let weight = (WEIGHT.to_owned(), vec![OUTPUTS, INPUTS], vec![0.1, -0.2, 0.3, 0.4, -0.5, 0.6]);
    let bias = (BIAS.to_owned(), vec![OUTPUTS], vec![0.01, -0.02]);
    Parameters::new([weight, bias]).expect("values fill their shapes")
}

pub(crate) fn config(max_steps: u64) -> EngineConfig {
    let schedule = ScheduleConfig {
        lr_scheduler_type: LrSchedulerType::Cosine,
        warmup_ratio: 0.1,
        warmup_steps: 0,
        max_steps,
    };
    EngineConfig { optimizer: OptimizerConfig::new(0.05, 0.01), schedule }
}

/// `num_tokens` tokens that depend on their number alone.
pub(crate) fn tokens(first: u64, num_tokens: u64) -> Vec<Token> {
    (first..first + num_tokens)
        .map(|n| {
            let x = [1, 2, 3].map(|axis| ((n * 37 + axis * 101) % 64) as f32 / 32.0 - 1.0);
            Token { name: format!("toy:{n}"), x, y: [x[0] - 2.0 * x[1], 0.5 * x[2] + 1.0] }
        })
        .collect()
}

pub(crate) fn bits(parameters: &Parameters) -> Vec<u32> {
    parameters
        .iter()
        .flat_map(|(_, values)| values.as_slice())
        .map(|value| value.to_bits())
        .collect()
}
