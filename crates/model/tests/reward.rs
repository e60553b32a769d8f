//! The reward model in Qwen2.5-VL's layout against transformers: per-token values, scores, the
//! Bradley-Terry loss; its gradients by finite differences; and its folders in both layouts.

#![expect(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use model::layout::Layout;
use model::llm::Keep;
use model::pack::{ImageSlot, Pack, Prefix, Valued, image_slots};
use model::parameter::Parameter;
use model::reward_model::RewardModel;
use model::value_head::HeadLayout;
use model::vision::Grid;
use model::vlm::{Images, Trainable, stack};
use model::weights::{Checkpoint, Stored, TensorSpec, save, save_file};
use serde_json::{Value, json};
use tensor::{DType, Gradients, Tensor};
use testkit::{Golden, Tolerance, assert_close, assert_close_by_norm};

const IMAGE_TOKEN: u32 = 360;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn open() -> RewardModel {
    RewardModel::load(&golden("reward-tiny"), DType::F32).expect("golden file")
}

/// One golden case: an image, and two responses to one question about it.
struct Case {
    patches: Tensor,
    grid: Grid,
    ids: [Vec<u32>; 2],
    values: [Vec<f32>; 2],
    scores: [f32; 2],
    loss: f64,
}

fn cases() -> Vec<Case> {
    let file = Golden::open(golden("reward-tiny/reference.safetensors"));
    let info = testkit::json(golden("reward-tiny/reference.json"));
    let cases = info["cases"].as_array().unwrap().iter().enumerate();
    let case = |(number, case): (usize, &Value)| {
        let name = |part: &str| format!("case{number}.{part}");
        let side = |i: usize| case["image_grid_thw"][i].as_u64().unwrap() as usize;
        let pixels = name("pixel_values");
        let of = |response: usize, part: &str| name(&format!("response{response}.{part}"));
        let ids = |r| file.i32(&of(r, "input_ids")).iter().map(|&id| id as u32).collect();
        Case {
            patches: Tensor::from_vec(file.f32(&pixels), &file.shape(&pixels)),
            grid: Grid { rows: side(1), columns: side(2) },
            ids: [0, 1].map(ids),
            values: [0, 1].map(|r| file.f32(&of(r, "values"))),
            scores: [0, 1].map(|r| case["scores"][r].as_f64().unwrap() as f32),
            loss: case["bradley_terry_loss_response0_chosen"].as_f64().unwrap(),
        }
    };
    cases.map(case).collect()
}

impl Case {
    /// Time, row and column of each row, written out: independent of the processor's.
    fn places(&self, ids: &[u32]) -> Vec<[u32; 3]> {
        let (rows, columns) = (self.grid.rows as u32 / 2, self.grid.columns as u32 / 2);
        let first = ids.iter().position(|&id| id == IMAGE_TOKEN).unwrap() as u32;
        let num = rows * columns;
        let place = |row: u32| match row {
            row if row < first => [row; 3],
            row if row < first + num => {
                let cell = row - first;
                [first, first + cell / columns, first + cell % columns]
            }
            row => [row - num + rows.max(columns); 3],
        };
        (0..ids.len() as u32).map(place).collect()
    }

    /// Both responses over the rows they share.
    fn push(&self, pack: &mut Pack, first_feature: usize) {
        let same = self.ids[0].iter().zip(&self.ids[1]).take_while(|(a, b)| a == b).count();
        let places = self.places(&self.ids[0][..same]);
        let images: Vec<ImageSlot> = image_slots(&self.ids[0][..same], IMAGE_TOKEN, first_feature);
        let prefix = Prefix { ids: &self.ids[0][..same], images: &images, places: Some(&places) };
        pack.push_judged_tree(prefix, &[&self.ids[0][same..], &self.ids[1][same..]], Valued::Last);
    }
}

#[test]
fn values_of_every_token_are_the_references() {
    let model = open();
    for (number, case) in cases().iter().enumerate() {
        let projected =
            model.vlm.project(&model.vlm.patch_features(&case.patches, case.grid).unwrap());
        for (ids, want) in case.ids.iter().zip(&case.values) {
            let slots = image_slots(ids, IMAGE_TOKEN, 0);
            let x = model.vlm.embed(ids, &slots, Some(&projected)).unwrap();
            let layout = Layout { axes: Some(case.places(ids)), ..Layout::causal(ids.len()) };
            let hidden = model.vlm.llm.forward(x, &layout);
            let values = model.head.forward(&hidden);
            assert_close(&format!("case {number}"), &values, want, Tolerance::absolute(1e-4));
        }
    }
}

#[test]
fn scores_and_loss_from_shared_prompts_in_one_pack() {
    let (model, cases) = (open(), cases());
    let (mut pack, mut features) = (Pack::new(), Vec::new());
    for case in &cases {
        case.push(&mut pack, features.iter().map(Tensor::rows).sum());
        features.push(model.vlm.patch_features(&case.patches, case.grid).unwrap());
    }
    let features = stack(&features.iter().collect::<Vec<_>>());
    let values = model.values(&pack, Images::Features(&features)).unwrap();
    let want: Vec<f32> = cases.iter().flat_map(|case| case.scores).collect();
    assert_close("scores", &values, &want, Tolerance::absolute(1e-4));
    for (pair, case) in values.chunks_exact(2).zip(&cases) {
        let margin = f64::from(pair[0]) - f64::from(pair[1]);
        let loss = (-margin).exp().ln_1p();
        assert!((loss - case.loss).abs() < 1e-4 * case.loss, "{loss}, want {}", case.loss);
    }
}

fn gradients(parameters: &[Parameter]) -> Gradients {
    Gradients::new(parameters.iter().map(|p| (p.name.clone(), p.shape.clone())))
}

/// `tests/golden/reward-tiny/gradients.py`: the loss of all three pairs, in one pack.
#[test]
fn gradients_of_the_ranking_loss_are_pytorchs() {
    let (model, cases) = (open(), cases());
    let (mut pack, mut features) = (Pack::new(), Vec::new());
    for case in &cases {
        case.push(&mut pack, features.iter().map(Tensor::rows).sum());
        features.push(model.vlm.patch_features(&case.patches, case.grid).unwrap());
    }
    let features = stack(&features.iter().collect::<Vec<_>>());
    let slopes = |values: &[f32]| {
        let slope = |pair: &[f32]| -1.0 / (1.0 + (pair[0] - pair[1]).exp()) / 3.0;
        values.chunks_exact(2).flat_map(|pair| [slope(pair), -slope(pair)]).collect()
    };
    let mut grads = gradients(&model.parameters(Trainable::AdapterLlm));
    let RewardModel { vlm, head } = &model;
    let inputs = (&pack, Images::Features(&features));
    head.forward_backward((vlm, Keep::All), inputs, slopes, &mut grads).unwrap();
    let reference = Golden::open(golden("reward-tiny/gradients.safetensors"));
    assert_eq!(reference.names().len(), 2 + 5 + 1 + 7);
    for name in reference.names() {
        let (got, want) = (grads.get(&name).unwrap(), reference.f32(&name));
        match name.as_str() {
            // The two slopes of a pair cancel.
            "v_head.summary.bias" => {
                assert_close(&name, got.as_slice(), &want, Tolerance::absolute(1e-6));
            }
            _ => assert_close_by_norm(&name, got.as_slice(), &want, 1e-3),
        }
    }
}

/// A loss whose slopes are easy to write: weighted values.
const WEIGHTS: [f32; 2] = [0.75, -1.25];

#[test]
fn gradients_are_those_of_finite_differences() {
    let (mut model, cases) = (open(), cases());
    let case = &cases[0];
    let mut pack = Pack::new();
    case.push(&mut pack, 0);
    let features = model.vlm.patch_features(&case.patches, case.grid).unwrap();
    let images = Images::Features(&features);
    let parameters = model.parameters(Trainable::AdapterLlm);
    assert!(parameters.iter().all(|p| p.name != "lm_head.weight"));
    let mut grads = gradients(&parameters);
    let loss = |values: &[f32]| {
        values.iter().zip(WEIGHTS).map(|(&v, w)| f64::from(v) * f64::from(w)).sum::<f64>()
    };
    let slopes = |_: &[f32]| WEIGHTS.to_vec();
    let RewardModel { vlm, head } = &model;
    head.forward_backward((vlm, Keep::Inputs), (&pack, images), slopes, &mut grads).unwrap();
    for parameter in &parameters {
        let grad = grads.get(&parameter.name).unwrap().to_vec();
        // Along the gradient itself the loss must rise by the gradient's squared norm.
        let norm = grad.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-4, "{} has no gradient", parameter.name);
        let size = parameter.values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let step = 3e-3 * size.max(0.1) / norm;
        let mut at = |sign: f64| {
            let moved = parameter.values.iter().zip(&grad);
            let moved: Vec<f32> =
                moved.map(|(&v, &g)| (f64::from(v) + sign * step * f64::from(g)) as f32).collect();
            model.set_parameters(|name| (name == parameter.name).then_some(&moved[..]));
            loss(&model.values(&pack, images).unwrap())
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        model.set_parameters(|name| (name == parameter.name).then_some(&parameter.values[..]));
        let off = (slope - norm * norm).abs() / (norm * norm);
        assert!(off < 2e-2, "{}: measured {slope}, claimed {}", parameter.name, norm * norm);
    }
}

#[test]
fn text_alone_still_trains_the_head() {
    let model = open();
    let mut pack = Pack::new();
    pack.push_judged_tree(
        Prefix { ids: &[1, 2, 3], ..Prefix::default() },
        &[&[4, 5], &[6]],
        Valued::Last,
    );
    let mut grads = gradients(&model.parameters(Trainable::Adapter));
    let slopes = |_: &[f32]| WEIGHTS.to_vec();
    let RewardModel { vlm, head } = &model;
    head.forward_backward((vlm, Keep::All), (&pack, Images::None), slopes, &mut grads).unwrap();
    let bias = grads.get("v_head.summary.bias").unwrap().as_slice()[0];
    assert_eq!(bias, -0.5);
    let adapter = grads.iter().filter(|(name, _)| name.starts_with("visual."));
    assert!(adapter.flat_map(|(_, grad)| grad.as_slice()).all(|&value| value == 0.0));
}

#[test]
fn images_without_places_are_refused() {
    let (model, cases) = (open(), cases());
    let features = model.vlm.patch_features(&cases[0].patches, cases[0].grid).unwrap();
    let slots = image_slots(&cases[0].ids[0], IMAGE_TOKEN, 0);
    let mut pack = Pack::new();
    let prefix = Prefix { ids: &cases[0].ids[0], images: &slots, places: None };
    pack.push_judged_tree(prefix, &[&[1]], Valued::Last);
    let error = model.values(&pack, Images::Features(&features)).unwrap_err().to_string();
    assert!(error.starts_with("positions: "), "{error}");
    let error = model.vlm.features(&cases[0].patches).unwrap_err().to_string();
    assert!(error.contains("patches"), "{error}");
    let grid = Grid { rows: 5, columns: 12 };
    let error = model.vlm.patch_features(&cases[0].patches, grid).unwrap_err().to_string();
    assert!(error.contains("5 x 12 patches"), "{error}");
}

/// All tensors of a folder's weights.
fn tensors(folder: &Path) -> Vec<Parameter> {
    let mut checkpoint = Checkpoint::open(folder).unwrap();
    let listed = checkpoint.tensors();
    let mut take = |name: String, shape: Vec<usize>| {
        let values = checkpoint.take(&name, &shape).unwrap();
        Parameter { name, shape, values }
    };
    listed.into_iter().map(|stored| take(stored.name, stored.shape)).collect()
}

/// Writes tensors in shards of at most `max_bytes`.
fn write(folder: &Path, tensors: &[Parameter], max_bytes: u64) {
    let spec = |p: &Parameter| TensorSpec::new(p.name.clone(), &p.shape, Stored::F32);
    let specs: Vec<TensorSpec> = tensors.iter().map(spec).collect();
    let values = |name: &str| tensors.iter().find(|p| p.name == name).unwrap().values.clone();
    save(folder, &specs, max_bytes, |name| Ok(values(name))).unwrap();
}

/// A copy of the golden folder's small files, its config changed.
fn folder_with(change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "value_head.safetensors"] {
        fs::copy(golden("reward-tiny").join(name), folder.path().join(name)).unwrap();
    }
    let mut config = testkit::json(golden("reward-tiny/config.json"));
    change(&mut config);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

fn score(model: &RewardModel) -> Vec<f32> {
    let case = &cases()[0];
    let mut pack = Pack::new();
    case.push(&mut pack, 0);
    let features = model.vlm.patch_features(&case.patches, case.grid).unwrap();
    model.values(&pack, Images::Features(&features)).unwrap()
}

#[test]
fn new_releases_names_and_nested_config_are_the_same_model() {
    let folder = folder_with(|config| {
        let mut text = config.clone();
        for key in ["vision_config", "architectures", "image_token_id"] {
            text.as_object_mut().unwrap().remove(key);
        }
        text["model_type"] = json!("qwen2_5_vl_text");
        text["rope_scaling"]["type"] = json!("default");
        text["rope_scaling"]["rope_type"] = json!("default");
        let vision = config["vision_config"].clone();
        *config = json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "text_config": text,
            "vision_config": vision,
        });
    });
    let mut all = tensors(&golden("reward-tiny"));
    for tensor in &mut all {
        tensor.name = match tensor.name.split_once('.').unwrap() {
            ("model", rest) => format!("model.language_model.{rest}"),
            ("visual", rest) => format!("model.visual.{rest}"),
            _ => tensor.name.clone(),
        };
    }
    write(folder.path(), &all, 300_000);
    assert!(folder.path().join("model.safetensors.index.json").is_file());
    let model = RewardModel::load(folder.path(), DType::F32).unwrap();
    assert_eq!(score(&model), score(&open()));
    // The language model's own head is not needed.
    all.retain(|tensor| tensor.name != "lm_head.weight");
    write(folder.path(), &all, u64::MAX);
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    let model = RewardModel::load(folder.path(), DType::F32).unwrap();
    assert_eq!(score(&model), score(&open()));
}

#[test]
fn both_layouts_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = open();
    model.save(folder.path(), Stored::F32).unwrap();
    assert_eq!(tensors(folder.path()), tensors(&golden("reward-tiny")));
    let again = RewardModel::load(folder.path(), DType::F32).unwrap();
    assert_eq!(score(&again), score(&model));
    assert_eq!(again.head.parameters(), model.head.parameters());

    let error = open().head.in_layout(HeadLayout::Score).map(drop).unwrap_err().to_string();
    assert!(error.contains("no place for a bias"), "{error}");
    let mut model = open();
    model.set_parameters(|name| (name == "v_head.summary.bias").then_some(&[0.0][..]));
    let RewardModel { vlm, head } = model;
    let classifier = RewardModel { vlm, head: head.in_layout(HeadLayout::Score).unwrap() };
    let folder = tempfile::tempdir().unwrap();
    classifier.save(folder.path(), Stored::F32).unwrap();
    assert!(!folder.path().join("value_head.safetensors").exists());
    assert!(tensors(folder.path()).iter().any(|tensor| tensor.name == "score.weight"));
    let again = RewardModel::load(folder.path(), DType::F32).unwrap();
    assert_eq!(again.head.layout(), HeadLayout::Score);
    assert_eq!(score(&again), score(&classifier));
}

/// A language model alone, with a score head: text is judged, and images have no place.
#[test]
fn a_classifier_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let case = golden("qwen2-untied");
    let mut config = testkit::json(case.join("config.json"));
    config["architectures"] = json!(["Qwen2ForSequenceClassification"]);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let mut all = tensors(&case);
    all.retain(|tensor| tensor.name != "lm_head.weight");
    let hidden = config["hidden_size"].as_u64().unwrap() as usize;
    let values = (0..hidden).map(|i| (i as f32 * 0.3).sin()).collect();
    all.push(Parameter { name: "score.weight".to_owned(), shape: vec![1, hidden], values });
    write(folder.path(), &all, u64::MAX);
    let model = RewardModel::load(folder.path(), DType::F32).unwrap();
    let mut pack = Pack::new();
    pack.push_judged_tree(
        Prefix { ids: &[1, 2], ..Prefix::default() },
        &[&[3, 4], &[5]],
        Valued::Last,
    );
    let values = model.values(&pack, Images::None).unwrap();
    let alone = |ids: &[u32]| {
        let hidden = model.vlm.llm.forward(model.vlm.llm.embed(ids), &Layout::causal(ids.len()));
        *model.head.forward(&hidden).last().unwrap()
    };
    let want = [alone(&[1, 2, 3, 4]), alone(&[1, 2, 5])];
    assert_close("values", &values, &want, Tolerance::relative(1e-5));
    let error = model.values(&pack, Images::Features(&Tensor::zeros(&[1, 4]))).unwrap_err();
    assert_eq!(error.to_string(), "images: the model reads text alone");
}

/// Grown on a model in InternVL's layout, which has no value head.
#[test]
fn a_head_grows_on_any_model() {
    let folder = golden("internvl-six-b");
    let error = RewardModel::load(&folder, DType::F32).map(drop).unwrap_err().to_string();
    assert!(error.contains("tensor `v_head.summary.weight` is missing"), "{error}");
    let grow = |seed| RewardModel::grow(&folder, DType::F32, seed).unwrap();
    let model = grow(7);
    assert_eq!(model.head.parameters(), grow(7).head.parameters());
    assert_ne!(model.head.parameters(), grow(8).head.parameters());
    let names = |setting| -> Vec<String> {
        model.parameters(setting).into_iter().map(|p| p.name).collect()
    };
    let adapter = names(Trainable::Adapter);
    assert_eq!(adapter.len(), 6 + 2);
    assert_eq!(adapter[6..], ["v_head.summary.weight", "v_head.summary.bias"]);
    let all = names(Trainable::AdapterLlm);
    assert!(all.iter().all(|name| name != "language_model.lm_head.weight"));
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path(), Stored::F32).unwrap();
    assert_eq!(tensors(saved.path()), tensors(&folder));
    let again = RewardModel::load(saved.path(), DType::F32).unwrap();
    assert_eq!(again.head.parameters(), model.head.parameters());
}

#[test]
fn what_does_not_fit_is_named() {
    let all = tensors(&golden("reward-tiny"));
    let load = |tensors: &[Parameter], change: &dyn Fn(&mut Value)| {
        let folder = folder_with(change);
        write(folder.path(), tensors, u64::MAX);
        RewardModel::load(folder.path(), DType::F32).map(drop).unwrap_err().to_string()
    };
    let without = |name: &str| -> Vec<Parameter> {
        all.iter().filter(|tensor| tensor.name != name).cloned().collect()
    };
    let same = &|_: &mut Value| {};
    for name in ["visual.blocks.2.attn.qkv.bias", "visual.merger.ln_q.weight", "model.norm.weight"]
    {
        let error = load(&without(name), same);
        assert!(error.contains(&format!("tensor `{name}` is missing")), "{error}");
    }
    let mut more = all.clone();
    more.push(Parameter { name: "visual.extra".to_owned(), shape: vec![1], values: vec![0.0] });
    let error = load(&more, same);
    assert!(error.contains("1 tensors have no place in this model: visual.extra"), "{error}");
    let error = load(&all, &|config| config["vision_config"]["hidden_size"] = json!(64));
    assert!(
        error.contains("visual.patch_embed.proj.weight` has shape [48, 3, 2, 14, 14]"),
        "{error}"
    );
    let error = load(&all, &|config| config["rope_scaling"]["mrope_section"] = json!([2, 3, 4]));
    assert!(error.contains("`rope_scaling.mrope_section` is [2,3,4]"), "{error}");
    let error = load(&all, &|config| config["vision_config"]["window_size"] = json!(20));
    assert!(error.contains("vision_config.window_size"), "{error}");

    let folder = folder_with(same);
    write(folder.path(), &all, u64::MAX);
    let file = folder.path().join("value_head.safetensors");
    let spec = |name: &str, len| TensorSpec::new(name, &[1, len], Stored::F32);
    save_file(&file, &[spec("v_head.summary.weight", 3)], |_| Ok(vec![0.0; 3])).unwrap();
    let error = RewardModel::load(folder.path(), DType::F32).map(drop).unwrap_err().to_string();
    assert!(error.contains("`v_head.summary.weight` has shape [1, 3]"), "{error}");
}
