//! Models built from parts: what stays, what is drawn, what is refused.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::Error;
use model::assemble::{
    Assembled, IMAGE_TOKENS, Language, Parts, Settings, assemble, fit_adapter, reassemble,
};
use model::config::vlm::read_json;
use model::layout::Layout;
use model::llm::Llm;
use model::vlm::{Trainable, Vlm};
use model::weights::{Checkpoint, Stored, TensorSpec, save};
use serde_json::{Value, json};
use tensor::{DType, Tensor};
use testkit::{Tolerance, assert_close};

const TEMPLATE: &str = "{% for m in messages %}{{ m['content'] }}{% endfor %}";

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// A tokenizer of so many ids, the last `num_added` of them added tokens.
fn tokenizer(num_ids: usize, added: &[&str]) -> Value {
    let num_vocab = num_ids - added.len();
    let vocab: serde_json::Map<String, Value> =
        (0..num_vocab).map(|id| (format!("t{id}"), json!(id))).collect();
    let added: Vec<Value> = (num_vocab..)
        .zip(added)
        .map(|(id, content)| json!({"id": id, "content": content}))
        .collect();
    json!({"added_tokens": added, "model": {"vocab": vocab}})
}

/// What the image tokens were cut into before; of the last one, nothing that is known.
const PIECES: [&[u32]; 3] = [&[3, 7, 9], &[4], &[]];

/// Assembles, writing a tokenizer with the image tokens after `num_ids` others.
fn build(
    vision: &str,
    llm: &str,
    num_ids: usize,
    settings: &Settings,
    output: &Path,
) -> Result<Assembled, Error> {
    let before = tokenizer(num_ids, &[]);
    let after = tokenizer(num_ids + 3, &IMAGE_TOKENS);
    let weights = golden(llm);
    let language = Language {
        weights: &weights,
        original_tokenizer: &before,
        tokenizer: &after,
        pieces: &PIECES.map(<[u32]>::to_vec),
        chat_template: Some(TEMPLATE),
    };
    let parts = Parts { vision: &golden(vision), language, adapter: None };
    assemble(&parts, settings, output, |folder| write(folder, &after))
}

fn write(folder: &Path, tokenizer: &Value) -> Result<(), Error> {
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).expect("test file");
    Ok(())
}

fn rows(folder: &Path, name: &str) -> Vec<Vec<f32>> {
    let checkpoint = Checkpoint::open(folder).expect("test file");
    let shape = checkpoint.shape(name).expect("test file");
    let values = checkpoint.read(name, &shape).expect("test file");
    values.chunks_exact(shape[1]).map(<[f32]>::to_vec).collect()
}

fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let column = |i: usize| rows.iter().map(|row| f64::from(row[i])).sum::<f64>();
    (0..rows[0].len()).map(|i| (column(i) / rows.len() as f64) as f32).collect()
}

fn std(values: &[f32]) -> f64 {
    let num = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / num;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / num).sqrt()
}

/// A new token starts as the mean of its pieces, or of all tokens where it has none.
fn check_new_rows(new: &[Vec<f32>], old: &[Vec<f32>]) {
    for (row, pieces) in new.iter().zip(PIECES) {
        let pieces: Vec<_> = pieces.iter().map(|&id| old[id as usize].clone()).collect();
        let want = mean(if pieces.is_empty() { old } else { &pieces });
        assert_close("new row", row, &want, Tolerance::absolute(1e-7));
    }
}

#[test]
fn dinov2_and_a_tied_llama() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::internvl();
    // 150 tokens in tables of 160 rows: the padding goes.
    let built = build("dinov2", "llama-tied", 150, &settings, folder.path()).unwrap();
    assert_eq!((built.tile_size, built.tokens_per_tile, built.vocab_size), (56, 4, 153));
    assert_eq!(built.adapter_widths, [256, 64]);
    assert_eq!(built.image_tokens[2], ("<IMG_CONTEXT>".to_owned(), 152, true));
    let vlm = Vlm::load(folder.path(), DType::F32).unwrap();
    assert_eq!(vlm.image_token, Some(152));
    let features = vlm.features(&Tensor::zeros(&[2, 3, 56, 56])).unwrap();
    assert_eq!(vlm.project(&features).shape(), [8, 64]);
    let old = rows(&golden("llama-tied"), "model.embed_tokens.weight");
    let new = rows(folder.path(), "language_model.model.embed_tokens.weight");
    assert_eq!(new[..150], old[..150]);
    check_new_rows(&new[150..], &old[..150]);
    // The language model is the one it was.
    let mut checkpoint = Checkpoint::open(&golden("llama-tied")).unwrap();
    let plain = Llm::load(
        model::config::LlmConfig::from_json(&read_json(&golden("llama-tied/config.json")).unwrap())
            .unwrap(),
        "",
        DType::F32,
        &mut checkpoint,
    )
    .unwrap();
    let hidden = |llm: &Llm| llm.forward(llm.embed(&[3, 1, 4]), &Layout::causal(3)).to_vec();
    assert_eq!(hidden(&vlm.llm), hidden(&plain));
}

#[test]
fn an_adapter_fitted_to_features() {
    let folder = tempfile::tempdir().unwrap();
    build("dinov2", "llama-tied", 150, &Settings::internvl(), folder.path()).unwrap();
    let mut vlm = Vlm::load(folder.path(), DType::F32).unwrap();
    // Features that are much alike: one vector and a little of another in each row.
    let value = |i: usize| ((i % 256) as f32).sin() + 0.02 * ((i * i) as f32).cos();
    let features = Tensor::from_vec((0..40 * 256).map(value).collect(), &[40, 256]);
    fit_adapter(&mut vlm, &features, 2.0);
    let table = rows(folder.path(), "language_model.model.embed_tokens.weight");
    let ratio = std(vlm.project(&features).as_slice()) / std(&table.concat());
    assert!((ratio - 2.0).abs() < 1e-3, "{ratio}");
    // What the norm gives: its weight and bias after a norm without either.
    let adapter = &vlm.images.as_ref().unwrap().adapter;
    let parts: HashMap<String, Vec<f32>> =
        adapter.parts().into_iter().map(|(name, part)| (name, part.values())).collect();
    let (weight, bias) = (&parts["mlp1.0.weight"], &parts["mlp1.0.bias"]);
    let plain = |value: f32| Tensor::from_vec(vec![value; 256], &[256]);
    let normed = tensor::ops::layer_norm(&features, &plain(1.0), &plain(0.0), 1e-5);
    for column in 0..256 {
        let out = |row: usize| normed.row(row)[column] * weight[column] + bias[column];
        let values: Vec<f32> = (0..40).map(out).collect();
        let mean = values.iter().sum::<f32>() / 40.0;
        assert!(mean.abs() < 1e-3, "column {column}: mean {mean}");
        assert!((0.3..=1.001).contains(&std(&values)), "column {column}: {}", std(&values));
    }
}

#[test]
fn siglip_and_an_untied_qwen2() {
    let [one, two, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let settings = Settings { unshuffle: 1, max_tiles: 1, ..Settings::internvl() };
    for folder in [&one, &two] {
        build("siglip", "qwen2-untied", 160, &settings, folder.path()).unwrap();
    }
    let seeded = Settings { seed: 1, ..settings };
    build("siglip", "qwen2-untied", 160, &seeded, other.path()).unwrap();
    let config = read_json(&one.path().join("config.json")).unwrap();
    let expected = json!([70, false, 1.0, 163, 163]);
    let keys = ["force_image_size", "dynamic_image_size", "downsample_ratio"];
    let mut found: Vec<Value> = keys.iter().map(|key| config[*key].clone()).collect();
    found.push(config["llm_config"]["vocab_size"].clone());
    found.push(json!(rows(one.path(), "language_model.lm_head.weight").len()));
    assert_eq!(json!(found), expected);
    let preprocessor = read_json(&one.path().join("preprocessor_config.json")).unwrap();
    assert_eq!(preprocessor["image_mean"], json!([0.5, 0.5, 0.5]));
    let read = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(read(one.path()) == read(two.path()), "equal seeds give equal files");
    assert!(read(one.path()) != read(other.path()));
    let head = rows(one.path(), "language_model.lm_head.weight");
    assert_close("head", &head[161], &mean(&head[..160]), Tolerance::absolute(1e-7));
    let table = rows(one.path(), "language_model.model.embed_tokens.weight");
    check_new_rows(&table[160..], &table[..160]);
    Vlm::load(one.path(), DType::F32).unwrap();
}

#[test]
fn the_vision_half_of_a_two_tower_siglip() {
    let (towers, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = Checkpoint::open(&golden("siglip")).unwrap();
    let stored = source.tensors();
    let mut specs: Vec<TensorSpec> = stored
        .iter()
        .map(|t| TensorSpec::new(format!("vision_model.{}", t.name), &t.shape, Stored::F32))
        .collect();
    specs.push(TensorSpec::new("text_model.head.weight", &[1], Stored::F32));
    specs.push(TensorSpec::new("logit_scale", &[1], Stored::F32));
    let shape = |name: &str| stored.iter().find(|t| t.name == name).map(|t| t.shape.clone());
    save(towers.path(), &specs, u64::MAX, |name| match name.strip_prefix("vision_model.") {
        Some(name) => source.read(name, &shape(name).unwrap()),
        None => Ok(vec![0.0]),
    })
    .unwrap();
    let mut vision = read_json(&golden("siglip/config.json")).unwrap();
    vision.as_object_mut().unwrap().remove("model_type");
    let config = json!({"model_type": "siglip", "vision_config": vision, "text_config": {}});
    fs::write(towers.path().join("config.json"), config.to_string()).unwrap();
    let settings = Settings { unshuffle: 5, ..Settings::internvl() };
    let two_tower = towers.path().to_str().unwrap();
    build(two_tower, "llama-tied", 160, &settings, folder.path()).unwrap();
    let one = Vlm::load(folder.path(), DType::F32).unwrap();
    build("siglip", "llama-tied", 160, &settings, folder.path()).unwrap();
    let two = Vlm::load(folder.path(), DType::F32).unwrap();
    let setting = Trainable::AdapterVision;
    assert_eq!(one.parameters(setting), two.parameters(setting));
}

#[test]
fn the_drawn_adapter_has_pytorchs_spread_or_the_scale_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::internvl();
    let load = |settings: &Settings| {
        build("dinov2", "llama-tied", 160, settings, folder.path()).unwrap();
        Vlm::load(folder.path(), DType::F32).unwrap()
    };
    let vlm = load(&settings);
    let first = vlm.parameters(Trainable::Adapter).swap_remove(2);
    assert_eq!(first.shape, [64, 256]);
    // Uniform in ±1/16.
    assert!(first.values.iter().all(|value| value.abs() <= 1.0 / 16.0));
    assert!((std(&first.values) * 16.0 - 1.0 / 3f64.sqrt()).abs() < 0.01);
    let vlm = load(&Settings { adapter_scale: Some(3.0), ..settings });
    let table = rows(folder.path(), "language_model.model.embed_tokens.weight");
    let noise = (0..16 * 256).map(|i| ((i * 7919) as f32 * 0.37).sin()).collect();
    let out = vlm.project(&Tensor::from_vec(noise, &[16, 256]));
    let ratio = std(out.as_slice()) / std(&table[..160].concat());
    assert!((2.5..3.5).contains(&ratio), "{ratio} standard deviations of the table, asked for 3");
}

#[test]
fn another_language_model_under_the_same_encoder_and_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("internvl-six-b");
    let swap = |llm: &str, num_ids| {
        let (before, after) = (tokenizer(num_ids, &[]), tokenizer(num_ids + 3, &IMAGE_TOKENS));
        let weights = golden(llm);
        let language = Language {
            weights: &weights,
            original_tokenizer: &before,
            tokenizer: &after,
            pieces: &PIECES.map(<[u32]>::to_vec),
            chat_template: Some(TEMPLATE),
        };
        let settings = Settings::internvl();
        reassemble(&model, language, &settings, folder.path(), |out| write(out, &after))
    };
    let built = swap("qwen3-tied", 160).unwrap();
    assert_eq!(
        (built.llm.as_str(), built.adapter, built.vocab_size),
        ("qwen3", "transplanted", 163)
    );
    let (new, old) = (Vlm::load(folder.path(), DType::F32), Vlm::load(&model, DType::F32));
    let (new, old) = (new.unwrap(), old.unwrap());
    let kept = Trainable::AdapterVision;
    assert_eq!(new.parameters(kept), old.parameters(kept));
    assert_eq!(new.json["template"], old.json["template"]);
    assert_eq!(new.image_token, Some(162));
    let error = swap("internvl-layer-norm", 64).unwrap_err().to_string();
    let expected = "into embeddings of 64; these parts need one from 256 to 32";
    assert!(error.contains(expected), "{error}");
    Vlm::load(folder.path(), DType::F32).expect("the earlier model is still whole");
}

#[test]
fn a_language_model_out_of_an_assembled_one_keeps_its_image_rows() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("internvl-six-b");
    let tokenizer = read_json(&model.join("tokenizer.json")).unwrap();
    let language = Language {
        weights: &model,
        original_tokenizer: &tokenizer,
        tokenizer: &tokenizer,
        pieces: &PIECES.map(<[u32]>::to_vec),
        chat_template: Some(TEMPLATE),
    };
    let vision = golden("siglip");
    let parts = Parts { vision: &vision, language, adapter: Some(&model) };
    let settings = Settings { stored: Some(Stored::Bf16), ..Settings::internvl() };
    let built = assemble(&parts, &settings, folder.path(), |out| write(out, &tokenizer)).unwrap();
    assert_eq!(built.vocab_size, 432);
    assert!(built.image_tokens.iter().all(|(_, _, new)| !new));
    let (new, old) = (Vlm::load(folder.path(), DType::F32), Vlm::load(&model, DType::F32));
    let (new, old) = (new.unwrap(), old.unwrap());
    assert_eq!(new.parameters(Trainable::Adapter), old.parameters(Trainable::Adapter));
    let name = "language_model.lm_head.weight";
    let (got, want) = (rows(folder.path(), name).concat(), rows(&model, name).concat());
    assert_close(name, &got, &want, Tolerance::relative(1.0 / 256.0));
}

#[test]
fn what_does_not_fit_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("model");
    let fails = |vision: &str, llm: &str, ids: usize, settings: &Settings| {
        build(vision, llm, ids, settings, &output).unwrap_err().to_string()
    };
    let settings = Settings::internvl();
    let error = fails("dinov2", "llama-tied", 161, &settings);
    assert!(error.contains("ids up to 160, but the embedding table has 160 rows"), "{error}");
    let odd = Settings { tile_size: Some(70), ..settings.clone() };
    let error = fails("dinov2", "llama-tied", 160, &odd);
    assert!(error.contains("choose a tile size such as 56 or 84"), "{error}");
    let large = Settings { unshuffle: 8, ..settings.clone() };
    let error = fails("dinov2", "llama-tied", 160, &large);
    assert!(error.contains("choose a smaller factor"), "{error}");
    let error = fails("llama-tied", "llama-tied", 160, &settings);
    assert!(error.contains("`model_type` is llama, expected intern_vit_6b"), "{error}");
    let error = fails("dinov2", "dinov2", 160, &settings);
    assert!(error.contains("`model_type` is dinov2, expected llama"), "{error}");
    assert!(!output.exists(), "nothing was written");
}

#[test]
fn texts_without_a_place_for_images_are_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let (bare, full) = (tokenizer(160, &[]), tokenizer(163, &IMAGE_TOKENS));
    let weights = golden("llama-tied");
    let cases = [
        (&bare, Some(TEMPLATE), "no token `<img>`; add it to added_tokens"),
        (&full, None, "the language model has no chat template; give one"),
        (&full, Some("{{ messages | length }}"), "no place for a message's content; give one"),
    ];
    for (tokenizer, chat_template, expected) in cases {
        let language = Language {
            weights: &weights,
            original_tokenizer: &bare,
            tokenizer,
            pieces: &PIECES.map(<[u32]>::to_vec),
            chat_template,
        };
        let parts = Parts { vision: &golden("dinov2"), language, adapter: None };
        let settings = Settings::internvl();
        let built = assemble(&parts, &settings, folder.path(), |_| Ok::<_, Error>(()));
        let error = built.unwrap_err().to_string();
        assert!(error.starts_with("cannot assemble: ") && error.contains(expected), "{error}");
    }
}
