//! Generation against the reference, against scoring, and against itself in other company, on a
//! checkpoint of 345,000 parameters in the InternVL layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::cache::KvCache;
use model::feature_cache::FeatureCache;
use model::vlm::Vlm;
use preprocess::Processor;
use rollout::{
    Batch, Drawing, Error, GenerateConfig, Group, ImageEncoder, Progress, Prompt, Sampling,
    generate, generate_each, score,
};
use schema::{Completion, FinishReason};
use tensor::DType;
use testkit::{Golden, Tolerance, assert_close};

/// Other crates' golden cases; the checkpoint is too large to keep twice.
fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

struct Model {
    vlm: Vlm,
    processor: Processor,
}

impl Model {
    fn load() -> Self {
        Self::load_as(DType::F32)
    }

    fn load_as(dtype: DType) -> Self {
        let folder = golden("model/tests/golden/internvl-six-b");
        let vlm = Vlm::load(&folder, dtype).expect("the checkpoint loads");
        Self { vlm, processor: Processor::load(&folder).expect("the tokenizer loads") }
    }

    fn prompt(&self, line: &str, stream: u64) -> Prompt {
        let base = golden("preprocess/tests/golden/internvl-six-b");
        let sample = serde_json::from_str(line).expect("a sample");
        let prompt = self.processor.prompt(&sample, &base).expect("a prompt");
        let mut encoder = ImageEncoder::new(&self.vlm, FeatureCache::new(None, 0));
        let features = encoder.encode(&self.vlm, &prompt.images).expect("features");
        Prompt::new(&prompt, features, stream)
    }

    /// The reference's prompt: an image of three tiles and a question.
    fn picture(&self, stream: u64) -> Prompt {
        let reference = testkit::json(golden("model/tests/golden/internvl-six-b/reference.json"));
        let question = reference["question"].to_string();
        let messages = format!(r#"[{{"role":"user","content":{question}}}]"#);
        self.prompt(&format!(r#"{{"messages":{messages},"images":["image.png"]}}"#), stream)
    }

    fn text(&self, text: &str, stream: u64) -> Prompt {
        let line = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        self.prompt(&line, stream)
    }

    fn config(&self, sampling: Sampling, max_new_tokens: usize) -> GenerateConfig {
        GenerateConfig::new(&self.processor, sampling, max_new_tokens)
    }

    fn generate(
        &self,
        prompts: &[Prompt],
        config: &GenerateConfig,
    ) -> Result<Vec<Vec<Completion>>, Error> {
        generate(&self.vlm, &self.processor.tokenizer, prompts, config, &mut |_| {})
    }
}

fn ids(groups: &[Vec<Completion>]) -> Vec<Vec<Vec<u32>>> {
    let of = |group: &Vec<Completion>| group.iter().map(|c| c.token_ids.clone()).collect();
    groups.iter().map(of).collect()
}

#[test]
fn greedy_tokens_are_the_references() {
    let model = Model::load();
    let reference = Golden::open(golden("model/tests/golden/internvl-six-b/reference.safetensors"));
    let expected: Vec<u32> = reference.i32("greedy_ids").iter().map(|&id| id as u32).collect();
    let config = model.config(Sampling::greedy(), 24);
    let groups = model.generate(&[model.picture(0)], &config).unwrap();
    assert_eq!(groups[0][0].token_ids, expected);
    assert_eq!(groups[0][0].finish_reason, FinishReason::Length);
    let text = testkit::json(golden("model/tests/golden/internvl-six-b/reference.json"));
    assert_eq!(groups[0][0].text, text["greedy_text"].as_str().unwrap());
}

// transformers 5.23, `language_model.*` of the checkpoint in a Qwen2ForCausalLM:
//   model.generate(torch.tensor([PROMPT]), do_sample=False, max_new_tokens=16,
//                  repetition_penalty=penalty, eos_token_id=None, pad_token_id=0)[0, 9:]
#[test]
fn a_penalised_completion_is_the_references() {
    const PROMPT: [u32; 9] = [421, 84, 82, 68, 81, 198, 7, 7, 100];
    #[rustfmt::skip]
    let cases = [
        (1.0, [81, 154, 358, 115, 178, 52, 251, 335, 255, 109, 210, 42, 7, 403, 294, 112]),
        (1.3, [251, 335, 358, 115, 178, 178, 178, 178, 178, 102, 98, 215, 403, 294, 112, 231]),
    ];
    let model = Model::load();
    for (penalty, expected) in cases {
        let sampling = Sampling { repetition_penalty: penalty, ..Sampling::greedy() };
        let config = GenerateConfig { stop_ids: Vec::new(), ..model.config(sampling, 16) };
        let groups = model.generate(&[Prompt::text(PROMPT.to_vec(), 0)], &config).unwrap();
        assert_eq!(groups[0][0].token_ids, expected, "penalty {penalty}");
    }
}

/// Decoding adds up a prompt and a growing completion in another order than a packed pass does;
/// 1e-4 in f32 is what GRPO's first ratio may be off.
#[test]
fn the_samplers_log_probs_are_the_trainers() {
    sampler_and_trainer_agree(DType::F32, 1e-4);
}

/// Where weights are bytes, the last bit of a sum can move an input by a whole step of rounding.
#[test]
fn so_they_are_with_weights_of_8_and_4_bits() {
    sampler_and_trainer_agree(DType::Int8, 1e-2);
    sampler_and_trainer_agree(DType::Int4, 1e-2);
}

fn sampler_and_trainer_agree(dtype: DType, tolerance: f64) {
    let model = Model::load_as(dtype);
    let prompts = [model.picture(0), model.text("Why?", 1)];
    let mut config = model.config(Sampling::at_temperature(1.3, 5), 32);
    config.num_samples = 4;
    let groups = model.generate(&prompts, &config).expect("completions");
    let tokens = ids(&groups);
    for max_rows in [1, 80, 1000] {
        let pairs = prompts.iter().zip(&tokens);
        let pairs: Vec<_> =
            pairs.map(|(prompt, completions)| Group { prompt, completions }).collect();
        let scored = score(&model.vlm, &pairs, 1.0, max_rows).expect("log-probs");
        for (completions, scored) in groups.iter().zip(scored) {
            assert_eq!(completions.len(), scored.len());
            for (completion, scored) in completions.iter().zip(scored) {
                let what = format!("log-probs of {:?}, {dtype:?}", completion.text);
                let tolerance = Tolerance::absolute(tolerance);
                assert_close(&what, &completion.logprobs, &scored, tolerance);
            }
        }
    }
}

#[test]
fn company_and_cache_size_change_nothing() {
    let model = Model::load();
    let prompts: Vec<Prompt> = (0..6)
        .map(|i| match i % 2 {
            0 => model.picture(i),
            _ => model.text(&"and ".repeat(i as usize * 3), i),
        })
        .collect();
    let mut config = model.config(Sampling::at_temperature(1.0, 11), 20);
    config.sampling.top_p = 0.95;
    config.sampling.repetition_penalty = 1.1;
    config.num_samples = 3;
    let together = model.generate(&prompts, &config).unwrap();
    let alone: Vec<_> = prompts
        .iter()
        .map(|p| model.generate(std::slice::from_ref(p), &config).unwrap().remove(0))
        .collect();
    assert_eq!(ids(&together), ids(&alone));
    // From room for one long prompt and one sample up: prompts and samples wait for each other.
    let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap();
    let bytes_per_row = KvCache::bytes_per_row(model.vlm.llm.config());
    for room in [19, 20, 38, 60, 150] {
        config.cache_bytes = bytes_per_row * (longest + room);
        assert_eq!(ids(&model.generate(&prompts, &config).unwrap()), ids(&together), "{room}");
    }
    // Samples of a group differ from each other.
    let first = &together[0];
    assert!(first[0].token_ids != first[1].token_ids && first[1].token_ids != first[2].token_ids);
}

#[test]
fn a_group_of_one_prompt_equals_prompts_on_their_own() {
    let model = Model::load();
    let mut config = model.config(Sampling::at_temperature(1.0, 3), 16);
    config.num_samples = 4;
    let group = model.generate(&[model.picture(7)], &config).unwrap();
    config.num_samples = 1;
    let single: Vec<Prompt> = (0..4).map(|sample| model.picture(7 * 4 + sample)).collect();
    let alone = model.generate(&single, &config).unwrap();
    let alone: Vec<_> = alone.into_iter().flatten().collect();
    assert_eq!(ids(&group), ids(&[alone]));
}

#[test]
fn a_long_prompt_is_prefilled_in_pieces() {
    let model = Model::load();
    let prompt = model.text(&"because ".repeat(1500), 0);
    assert!(prompt.ids.len() > 1024);
    let config = model.config(Sampling::greedy(), 4);
    let group = model.generate(std::slice::from_ref(&prompt), &config).unwrap().remove(0);
    let tokens = [group[0].token_ids.clone()];
    let groups = [Group { prompt: &prompt, completions: &tokens }];
    let scored = score(&model.vlm, &groups, 1.0, 4096).unwrap();
    let tolerance = Tolerance::absolute(1e-4);
    assert_close("log-probs", &group[0].logprobs, &scored[0][0], tolerance);
}

#[test]
fn what_ends_a_completion() {
    let model = Model::load();
    let prompt = [model.picture(0)];
    let plain = model.config(Sampling::greedy(), 24);
    let whole = model.generate(&prompt, &plain).unwrap().remove(0).remove(0);
    let check = |config: GenerateConfig, text: &str, num_tokens: usize, reason: FinishReason| {
        let found = model.generate(&prompt, &config).unwrap().remove(0).remove(0);
        assert_eq!((found.text.as_str(), found.token_ids.len()), (text, num_tokens));
        assert_eq!(found.finish_reason, reason);
        assert_eq!(found.token_ids, whole.token_ids[..num_tokens]);
        assert_eq!(found.logprobs, whole.logprobs[..num_tokens]);
    };
    // The reference says "��ihink ifglemalege because…", one or two letters a token.
    let upto = |stop: &str| {
        let decode = |n| model.processor.tokenizer.decode(&whole.token_ids[..n]).unwrap();
        (1..=24).find(|&n| decode(n).contains(stop)).unwrap()
    };
    let stops = |stops: &[&str]| GenerateConfig {
        stop_strings: stops.iter().map(|&s| s.to_owned()).collect(),
        ..plain.clone()
    };
    let text = |stop: &str| whole.text.split(stop).next().unwrap().to_owned();
    check(stops(&["absent"]), &whole.text, 24, FinishReason::Length);
    check(stops(&["male"]), &text("male"), upto("male"), FinishReason::Stop);
    check(stops(&["because", "if"]), &text("if"), upto("if"), FinishReason::Stop);
    let stop_id = GenerateConfig { stop_ids: vec![whole.token_ids[5]], ..plain.clone() };
    let before = model.processor.tokenizer.decode(&whole.token_ids[..5]).unwrap();
    check(stop_id, &before, 6, FinishReason::Stop);
    let first = GenerateConfig { stop_ids: vec![whole.token_ids[0]], ..plain.clone() };
    check(first, "", 1, FinishReason::Stop);
    let context = GenerateConfig { context_length: prompt[0].ids.len() + 7, ..plain.clone() };
    let seven = model.processor.tokenizer.decode(&whole.token_ids[..7]).unwrap();
    check(context, &seven, 7, FinishReason::Length);
    let full = GenerateConfig { context_length: prompt[0].ids.len(), ..plain.clone() };
    check(full, "", 0, FinishReason::Length);
}

#[test]
fn progress_counts_up_to_all() {
    let model = Model::load();
    let mut config = model.config(Sampling::greedy(), 5);
    config.num_samples = 2;
    let mut seen: Vec<Progress> = Vec::new();
    let prompts = [model.text("a", 0), model.text("b", 1)];
    let tokenizer = &model.processor.tokenizer;
    let groups = generate(&model.vlm, tokenizer, &prompts, &config, &mut |p| seen.push(p)).unwrap();
    let num_tokens = groups.iter().flatten().map(|c| c.token_ids.len()).sum();
    let last = Progress { num_tokens, num_done: 4, num_total: 4, num_running: 0 };
    assert_eq!(seen.last(), Some(&last));
    assert!(seen.is_sorted_by_key(|p| p.num_tokens));
    assert_eq!(model.generate(&[], &config).unwrap(), Vec::<Vec<Completion>>::new());
}

#[test]
fn every_completion_is_heard_once_when_it_has_ended() {
    let model = Model::load();
    let mut config = model.config(Sampling::at_temperature(1.0, 3), 6);
    config.num_samples = 3;
    let prompts: Vec<Prompt> = (0..4).map(|i| model.text(&"a ".repeat(i + 1), i as u64)).collect();
    let mut heard = vec![vec![None; 3]; prompts.len()];
    let mut tokens = vec![vec![vec![]; 3]; prompts.len()];
    let tokenizer = &model.processor.tokenizer;
    let groups = rollout::generate_heard(&model.vlm, tokenizer, &prompts, &config, &mut |what| {
        if let rollout::Heard::Token { prompt, sample, id } = what {
            tokens[prompt][sample].push(id);
        }
        if let rollout::Heard::Completion { prompt, sample, completion } = what {
            let before = heard[prompt][sample].replace(completion.clone());
            assert!(before.is_none(), "prompt {prompt}, sample {sample} was heard before");
            assert_eq!(tokens[prompt][sample], completion.token_ids, "every token once, in order");
        }
    });
    let heard: Vec<Vec<Completion>> =
        heard.into_iter().map(|group| group.into_iter().map(Option::unwrap).collect()).collect();
    assert_eq!(heard, groups.unwrap());
}

#[test]
fn what_is_known_of_a_group_is_not_drawn_and_changes_no_bit_of_the_rest() {
    let model = Model::load();
    let mut config = model.config(Sampling::at_temperature(1.0, 3), 6);
    config.num_samples = 4;
    let prompt = |i: u64| model.picture(i);
    let whole = model.generate(&[prompt(0), prompt(1), prompt(2)], &config).unwrap();
    // Each group in turn has nothing to draw, the first one too, with which the others share how they open.
    let cases: [[&[usize]; 3]; 3] = [
        [&[0, 3], &[0, 1, 2, 3], &[2]],
        [&[0, 1, 2, 3], &[0, 3], &[2]],
        [&[0, 1, 2, 3], &[0, 1, 2, 3], &[0, 1, 2, 3]],
    ];
    for known in cases {
        let some: Vec<Prompt> =
            (0..3).map(|i| Prompt { known: known[i].to_vec(), ..prompt(i as u64) }).collect();
        let rest = model.generate(&some, &config).unwrap();
        for (group, (rest, known)) in rest.iter().zip(known).enumerate() {
            let drawn = (0..4).filter(|sample| !known.contains(sample));
            let expected: Vec<_> = drawn.map(|sample| whole[group][sample].clone()).collect();
            assert_eq!(*rest, expected, "{known:?}");
        }
    }
}

/// Runs a batch until nothing is left of it; its completions by prompt and sample.
fn finish(batch: &mut Batch<'_>) -> BTreeMap<(usize, usize), Completion> {
    let mut finished = BTreeMap::new();
    let mut goes_on = true;
    while goes_on {
        goes_on = batch.step().expect("finite logits");
        let news = batch.news().finished.into_iter();
        finished.extend(news.map(|(prompt, sample, completion)| ((prompt, sample), completion)));
    }
    finished
}

#[test]
fn prompts_that_join_a_running_batch_are_answered_as_alone() {
    let model = Model::load();
    let penalty = Sampling { repetition_penalty: 1.3, ..Sampling::at_temperature(0.7, 5) };
    let stops = GenerateConfig {
        stop_strings: vec!["e".to_owned()],
        ..model.config(Sampling::at_temperature(1.0, 2), 20)
    };
    let several = GenerateConfig { num_samples: 3, ..model.config(penalty, 9) };
    let cases = [
        (model.picture(0), model.config(Sampling::greedy(), 12)),
        (model.text("a", 3), several),
        (model.text("b", 4), stops),
    ];
    let mut batch = Batch::new(&model.vlm, 1000);
    for (prompt, config) in &cases {
        let drawing = Drawing::new(config.clone(), &model.processor.tokenizer, &model.vlm).unwrap();
        batch.add(prompt.clone(), &Arc::new(drawing)).unwrap();
        // The next one joins in the middle of this one.
        (0..3).for_each(|_| assert!(batch.step().unwrap()));
    }
    let found = finish(&mut batch);
    let together = generate_each(&model.vlm, &model.processor.tokenizer, &cases).unwrap();
    for (number, (prompt, config)) in cases.iter().enumerate() {
        let alone = model.generate(std::slice::from_ref(prompt), config).unwrap();
        for (sample, expected) in alone[0].iter().enumerate() {
            assert_eq!(found.get(&(number, sample)), Some(expected), "{number} {sample}");
        }
        assert_eq!(together[number], alone[0], "{number}");
    }
}

#[test]
fn a_cancelled_prompt_leaves_its_room_to_the_next() {
    let model = Model::load();
    let config =
        GenerateConfig { num_samples: 3, ..model.config(Sampling::at_temperature(1.0, 1), 50) };
    let drawing =
        Arc::new(Drawing::new(config.clone(), &model.processor.tokenizer, &model.vlm).unwrap());
    let prompt = model.text("a", 0);
    // Room for one completion at a time: one runs, two are pending, and another prompt waits.
    let mut batch = Batch::new(&model.vlm, prompt.ids.len() + 49);
    let first = batch.add(prompt.clone(), &drawing).unwrap();
    let second = batch.add(prompt.clone(), &drawing).unwrap();
    (0..2).for_each(|_| assert!(batch.step().unwrap()));
    batch.cancel(first);
    batch.cancel(first);
    let third = batch.add(prompt.clone(), &drawing).unwrap();
    batch.cancel(third);
    let found = finish(&mut batch);
    let expected = model.generate(&[prompt], &config).unwrap();
    let of_second = (0..3).map(|sample| found[&(second, sample)].clone());
    assert_eq!((of_second.collect::<Vec<_>>(), found.len()), (expected[0].clone(), 3));
    let Progress { num_done, num_total, .. } = batch.progress();
    assert_eq!((num_done, num_total), (3, 3));
}

/// A batch with room for one long completion of a group of three and for one short answer, in the middle of the first.
fn crowded<'a>(model: &'a Model, long: &GenerateConfig, short: &GenerateConfig) -> Batch<'a> {
    let prompt = model.text("a", 0);
    let length = prompt.ids.len();
    let num_rows = 2 * length + long.max_new_tokens + short.max_new_tokens - 2;
    let mut batch = Batch::new(&model.vlm, num_rows);
    batch.add(prompt, &drawing(model, long)).expect("a prompt that fits");
    assert!(batch.step().expect("finite logits"));
    batch
}

fn drawing<'a>(model: &'a Model, config: &GenerateConfig) -> Arc<Drawing<'a>> {
    let tokenizer = &model.processor.tokenizer;
    Arc::new(Drawing::new(config.clone(), tokenizer, &model.vlm).expect("sound settings"))
}

/// Settings of a group of `num_samples` that ends at its limit only.
fn endless(model: &Model, num_samples: usize, max_new_tokens: usize) -> GenerateConfig {
    let config = model.config(Sampling::at_temperature(1.0, 5), max_new_tokens);
    GenerateConfig { num_samples, stop_ids: Vec::new(), ..config }
}

#[test]
fn who_fits_does_not_wait_for_one_who_does_not() {
    let model = Model::load();
    let (long, short) = (endless(&model, 3, 40), endless(&model, 1, 6));
    // Two samples of the group wait for rows; then another such group does.
    for num_groups in [1, 2] {
        let mut batch = crowded(&model, &long, &short);
        for stream in 1..num_groups {
            batch.add(model.text("a", stream), &drawing(&model, &long)).unwrap();
        }
        let number = batch.add(model.text("b", 9), &drawing(&model, &short)).unwrap();
        (0..6).for_each(|_| assert!(batch.step().unwrap()));
        let finished = batch.news().finished;
        let [(prompt, 0, completion)] = &finished[..] else { panic!("{finished:?}") };
        let alone = model.generate(&[model.text("b", 9)], &short).unwrap();
        assert_eq!((*prompt, completion), (number, &alone[0][0]));
        assert_eq!(finish(&mut batch).len(), 3 * num_groups as usize);
    }
}

#[test]
fn who_does_not_fit_has_its_turn_however_many_others_come() {
    let model = Model::load();
    let (long, short) = (endless(&model, 3, 40), endless(&model, 1, 6));
    let mut batch = crowded(&model, &long, &short);
    let second = batch.add(model.text("a", 1), &drawing(&model, &long)).unwrap();
    let short = drawing(&model, &short);
    let mut num_left = [3, 3];
    let mut num_steps = 0;
    while num_left != [0, 0] {
        // Never less than two that could take any rows there are.
        batch.add(model.text("b", 9), &short).unwrap();
        assert!(batch.step().unwrap());
        for (prompt, _, _) in batch.news().finished {
            if prompt <= second {
                num_left[prompt] -= 1;
            }
        }
        num_steps += 1;
        assert!(num_steps <= 6 * 40, "{num_left:?} are left");
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_runs() {
    let model = Model::load();
    let config = model.config(Sampling::greedy(), 8);
    let good = model.text("a", 0);
    let check = |prompt: Prompt, config: &GenerateConfig, expected: &str| {
        let error = model.generate(&[good.clone(), prompt], config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} instead of {expected}");
    };
    let n = good.ids.len();
    check(Prompt::text(vec![], 1), &config, "prompt 1 is empty");
    let short = GenerateConfig { context_length: n, ..config.clone() };
    let longer = Prompt::text(vec![1; n + 1], 1);
    let message = format!("prompt 1 has {} tokens, more than the context of {n}", n + 1);
    check(longer, &short, &message);
    let blind = Prompt { features: None, ..model.picture(0) };
    check(blind, &config, "prompt 1 has 12 image rows and 0 image features");
    check(
        Prompt::text(vec![100_000], 1),
        &config,
        "100000 is outside the model's vocabulary of 432",
    );
    let tiny = GenerateConfig { cache_bytes: 768 * (n + 7), ..config.clone() };
    check(Prompt::text(vec![1; n + 1], 1), &tiny, "need");
    let none = GenerateConfig { num_samples: 0, ..config.clone() };
    check(good.clone(), &none, "num_samples is 0, expected at least 1");
}

#[test]
fn an_image_token_is_never_said() {
    let model = Model::load();
    let token = model.vlm.image_token.unwrap();
    let mut config = model.config(Sampling::at_temperature(100.0, 1), 200);
    config.stop_ids.clear();
    config.num_samples = 8;
    config.banned_ids = vec![5];
    let groups = model.generate(&[model.text("a", 0)], &config).unwrap();
    assert!(groups[0].iter().all(|c| !c.token_ids.contains(&token) && !c.token_ids.contains(&5)));
}
