//! The step: accumulation, clipping, AdamW, and what stops it.

mod common;

use common::{BIAS, Token, Toy, WEIGHT, bits, config, parameters, tokens};
use engine::{
    Counts, Engine, EngineConfig, Error, LrSchedulerType, OptimizerConfig, Parameters,
    ScheduleConfig, StepLoss, Task, TaskError,
};
use tensor::Gradients;

fn toy_engine() -> Engine {
    Engine::new(parameters(), config(20)).expect("a valid config")
}

/// Three steps over the same twelve tokens, cut into micro-batches at different places.
fn train(cuts: &[usize]) -> (Vec<f32>, Vec<f64>) {
    let mut engine = toy_engine();
    let mut toy = Toy::new();
    let mut numbers = Vec::new();
    for step in 0..3 {
        let mut rest = tokens(step * 12, 12);
        let mut micro_batches = Vec::new();
        for &cut in cuts {
            micro_batches.push(rest.drain(..cut).collect());
        }
        micro_batches.push(rest);
        let report = engine.step(&mut toy, &micro_batches).expect("a good step");
        assert_eq!(report.counts.tokens, 12);
        numbers.extend([report.loss, report.grad_norm, report.metrics["mean_x"]]);
    }
    let values = engine.parameters().iter().flat_map(|(_, values)| values.to_vec()).collect();
    (values, numbers)
}

#[test]
fn accumulation_equals_one_big_batch() {
    let (values, numbers) = train(&[]);
    for cuts in [&[6][..], &[1, 10], &[1; 11]] {
        let (cut_values, cut_numbers) = train(cuts);
        for (whole, cut) in values.iter().zip(cut_values) {
            assert!((whole - cut).abs() <= 1e-6, "{cuts:?}: {whole} and {cut}");
        }
        for (whole, cut) in numbers.iter().zip(cut_numbers) {
            assert!((whole - cut).abs() <= 1e-6 * whole.abs(), "{cuts:?}: {whole} and {cut}");
        }
    }
}

#[test]
fn counts_add_up_over_micro_batches() {
    let mut engine = toy_engine();
    let report = engine.step(&mut Toy::new(), &[tokens(0, 2), tokens(2, 3)]).unwrap();
    assert_eq!(report.counts, Counts { tokens: 5, sequences: 2, pairs: 0, weight: 1.0 });
    assert_eq!((report.step, report.max_steps, report.num_tokens_seen), (1, 20, 5));
    assert_eq!(report.learning_rate, 0.0, "the first update of a warm-up");
}

/// Gradients given in advance, one set a micro-batch.
struct Given;

impl Task for Given {
    type Batch = ([f32; 4], [f32; 2]);

    fn count(&self, _: &Self::Batch) -> Counts {
        Counts::default()
    }

    fn samples(&self, _: &Self::Batch) -> Vec<String> {
        vec!["given".into()]
    }

    fn forward_backward(
        &mut self,
        (weight, bias): &Self::Batch,
        _: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        for (name, values) in [(WEIGHT, &weight[..]), (BIAS, bias)] {
            let gradient = gradients.get_mut(name).ok_or("frozen")?.as_mut_slice();
            gradient.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Ok(StepLoss::new(0.0))
    }

    fn publish(&mut self, _: &Parameters) -> Result<(), TaskError> {
        Ok(())
    }
}

fn given_engine(max_grad_norm: f64) -> Engine {
    let parameters = Parameters::new([
        (WEIGHT.to_owned(), vec![2, 2], vec![0.5, -1.0, 2.0, 0.25]),
        (BIAS.to_owned(), vec![2], vec![0.1, -0.2]),
    ])
    .expect("values fill their shapes");
    let optimizer = OptimizerConfig {
        adam_beta2: 0.95,
        adam_epsilon: 1e-6,
        max_grad_norm,
        ..OptimizerConfig::new(0.01, 0.1)
    };
    let schedule = ScheduleConfig {
        lr_scheduler_type: LrSchedulerType::Constant,
        warmup_ratio: 0.0,
        warmup_steps: 0,
        max_steps: 5,
    };
    Engine::new(parameters, EngineConfig { optimizer, schedule }).expect("a valid config")
}

// import torch
// w = torch.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
// b = torch.tensor([0.1, -0.2], requires_grad=True)
// optimizer = torch.optim.AdamW([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}],
//                               lr=0.01, betas=(0.9, 0.95), eps=1e-6)
// for step in range(1, 6):
//     w.grad = torch.tensor([[0.3, -0.1], [0.0, 0.2]]) * step
//     b.grad = torch.tensor([-0.4, 1e-4]) * step
//     print(float(torch.nn.utils.clip_grad_norm_([w, b], 1.0)))
//     optimizer.step()
// print(w.detach().flatten().tolist(), b.detach().tolist())
#[test]
fn five_clipped_steps_equal_those_of_pytorch() {
    let norms = [
        0.547722578048706,
        1.095445156097412,
        1.6431677341461182,
        2.190890312194824,
        2.7386128902435303,
    ];
    let weight =
        [0.4483257532119751_f64, -0.9458310604095459, 1.9900201559066772, 0.1995733082294464];
    let bias = [0.1492777168750763_f64, -0.2489369511604309];
    let mut engine = given_engine(1.0);
    for (index, expected) in norms.into_iter().enumerate() {
        let scale = (index + 1) as f32;
        let batch =
            ([0.3, -0.1, 0.0, 0.2].map(|g: f32| g * scale), [-0.4, 1e-4].map(|g: f32| g * scale));
        let report = engine.step(&mut Given, &[batch]).unwrap();
        assert!(
            (report.grad_norm - expected).abs() < 1e-6,
            "{} is not {expected}",
            report.grad_norm
        );
    }
    for (name, expected) in [(WEIGHT, &weight[..]), (BIAS, &bias)] {
        let found = engine.parameters().get(name).unwrap().as_slice();
        for (&found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(found) - expected).abs() < 3e-7,
                "{name}: {found} is not {expected}"
            );
        }
    }
}

#[test]
fn clipping_keeps_the_direction_and_zero_switches_it_off() {
    // AdamW hides the scale of a first gradient, so two steps of different length tell.
    let run = |max_grad_norm| {
        let mut engine = given_engine(max_grad_norm);
        for scale in [1.0, 100.0] {
            engine.step(&mut Given, &[([scale, 0.0, 0.0, 0.0], [0.0, scale])]).unwrap();
        }
        bits(engine.parameters())
    };
    assert_ne!(run(1.0), run(0.0));
    assert_eq!(run(1e9), run(0.0), "a bound that is never reached changes nothing");
}

#[test]
fn vectors_do_not_decay() {
    let mut engine = given_engine(1.0);
    engine.step(&mut Given, &[([0.0; 4], [0.0; 2])]).unwrap();
    let value = |name| engine.parameters().get(name).unwrap().as_slice()[0];
    assert!((value(WEIGHT) - 0.5 * (1.0 - 0.01 * 0.1)).abs() < 1e-7, "matrices shrink by lr · λ");
    assert_eq!(value(BIAS), 0.1);
}

/// Two good steps, then one that must fail and change nothing.
fn failure(tells_samples: bool, micro_batches: &[Vec<Token>]) -> Error {
    let mut engine = toy_engine();
    let mut toy = Toy::new();
    for step in 0..2 {
        engine.step(&mut toy, &[tokens(step * 4, 4)]).expect("a good step");
    }
    let before = bits(engine.parameters());
    toy.tells_samples = tells_samples;
    let error = engine.step(&mut toy, micro_batches).expect_err("a bad step");
    assert_eq!(bits(engine.parameters()), before);
    assert_eq!(engine.steps_taken(), 2);
    engine.step(&mut toy, &[tokens(8, 4)]).expect("the run can go on");
    assert!(bits(engine.parameters()).iter().all(|&bits| f32::from_bits(bits).is_finite()));
    error
}

fn spoilt(x: f32) -> Vec<Token> {
    let mut batch = tokens(20, 3);
    batch[1].x[0] = x;
    batch
}

#[test]
fn a_non_finite_loss_names_step_micro_batch_and_samples() {
    let batches = [tokens(8, 2), spoilt(f32::NAN)];
    let message = failure(false, &batches).to_string();
    assert_eq!(message, "step 3, micro-batch 1: the loss is NaN; samples: toy:20, toy:21, toy:22");
    let message = failure(true, &batches).to_string();
    assert_eq!(message, "step 3, micro-batch 1: the loss is NaN; samples: toy:21");
}

/// A finite loss whose gradient is not.
struct Steep(Toy);

impl Task for Steep {
    type Batch = Vec<Token>;

    fn count(&self, batch: &Self::Batch) -> Counts {
        self.0.count(batch)
    }

    fn samples(&self, batch: &Self::Batch) -> Vec<String> {
        self.0.samples(batch)
    }

    fn forward_backward(
        &mut self,
        batch: &Self::Batch,
        totals: &Counts,
        gradients: &mut Gradients,
    ) -> Result<StepLoss, TaskError> {
        let loss = self.0.forward_backward(batch, totals, gradients)?;
        if batch[0].name == "toy:4" {
            gradients.get_mut(WEIGHT).ok_or("frozen")?.as_mut_slice()[5] = f32::INFINITY;
        }
        Ok(loss)
    }

    fn publish(&mut self, parameters: &Parameters) -> Result<(), TaskError> {
        self.0.publish(parameters)
    }
}

#[test]
fn a_non_finite_gradient_names_parameter_and_the_micro_batch_that_brought_it() {
    let mut engine = toy_engine();
    let before = bits(engine.parameters());
    let batches = [tokens(0, 2), tokens(4, 2), tokens(8, 2)];
    let message = engine.step(&mut Steep(Toy::new()), &batches).unwrap_err().to_string();
    let expected =
        "step 1, micro-batch 1: the gradient of mlp1.1.weight is not finite; samples: toy:4, toy:5";
    assert_eq!(message, expected);
    assert_eq!(bits(engine.parameters()), before);
}

#[test]
fn a_failing_task_names_its_samples_and_keeps_its_own_words() {
    let mut batch = tokens(30, 2);
    batch[1].name = "broken".into();
    let error = failure(false, &[batch]);
    let expected =
        "step 3, micro-batch 0: forward and backward pass failed; samples: toy:30, broken";
    assert_eq!(error.to_string(), expected);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "an image is truncated");
}

#[test]
fn no_micro_batch_and_no_step_left_are_errors() {
    assert_eq!(failure(false, &[]).to_string(), "step 3 has no micro-batches");
    let mut engine = Engine::new(parameters(), config(1)).unwrap();
    engine.step(&mut Toy::new(), &[tokens(0, 2)]).unwrap();
    let error = engine.step(&mut Toy::new(), &[tokens(0, 2)]).unwrap_err();
    assert!(matches!(error, Error::Complete { max_steps: 1 }), "{error}");
}

type Change = fn(&mut OptimizerConfig);

#[test]
fn optimizer_values_out_of_range_are_named() {
    let change: [(&str, Change); 7] = [
        ("learning_rate", |c| c.learning_rate = -1.0),
        ("learning_rate", |c| c.learning_rate = f64::NAN),
        ("weight_decay", |c| c.weight_decay = f64::INFINITY),
        ("adam_beta1", |c| c.adam_beta1 = 1.0),
        ("adam_beta2", |c| c.adam_beta2 = -0.1),
        ("adam_epsilon", |c| c.adam_epsilon = 0.0),
        ("max_grad_norm", |c| c.max_grad_norm = -1.0),
    ];
    for (key, change) in change {
        let mut config = config(5);
        change(&mut config.optimizer);
        let message = Engine::new(parameters(), config).unwrap_err().to_string();
        assert!(message.starts_with(key), "{message}");
    }
}

#[test]
fn omitted_settings_are_those_of_transformers() {
    let config: OptimizerConfig = serde_json::from_str(r#"{"learning_rate": 2e-4}"#).unwrap();
    assert_eq!(config, OptimizerConfig::new(2e-4, 0.0));
    assert_eq!((config.adam_beta1, config.adam_beta2, config.adam_epsilon), (0.9, 0.999, 1e-8));
    assert_eq!(config.max_grad_norm, 1.0);
    let unknown = serde_json::from_str::<OptimizerConfig>(r#"{"learning_rate": 1, "betas": 2}"#);
    assert!(unknown.unwrap_err().to_string().contains("betas"));
}
