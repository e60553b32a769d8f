//! The golden reward model in Qwen2.5-VL's layout: patches, grids, rendered text and ids.

use std::path::{Path, PathBuf};

use preprocess::{ModelImage, PatchGrid, Processor};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::common::{sample, text};

/// The checkpoint is too large to keep twice.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden/reward-tiny")
}

fn reference() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("reference.json")).unwrap()).unwrap()
}

fn numbers(tensors: &SafeTensors, name: &str) -> Vec<[u8; 4]> {
    let (chunks, _) = tensors.tensor(name).unwrap().data().as_chunks::<4>();
    chunks.to_vec()
}

#[test]
fn patches_grids_and_ids_equal_the_reference() {
    let file = std::fs::read(folder().join("reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let processor = Processor::load(&folder()).unwrap();
    for (number, case) in reference()["cases"].as_array().unwrap().iter().enumerate() {
        let prompt = sample(&json!({
            "messages": [{"role": "user", "content": format!("<image>{}", text(&case["question"]))}],
            "images": [case["image"]],
        }));
        let responses: Vec<&str> = case["responses"].as_array().unwrap().iter().map(text).collect();
        let judged = processor.judged(&prompt, &responses, &folder()).unwrap();
        let [ModelImage::Patches(image)] = &judged.images[..] else { panic!("patches") };
        let PatchGrid { rows, columns } = image.grid();
        assert_eq!(json!([1, rows, columns]), case["image_grid_thw"]);
        assert_eq!(json!(judged.image_rows.len()), case["image_tokens"]);
        for (branch, ids) in judged.branches.iter().enumerate() {
            let all = [&judged.prefix[..], ids].concat();
            let want = numbers(&tensors, &format!("case{number}.response{branch}.input_ids"));
            assert_eq!(all, want.into_iter().map(u32::from_le_bytes).collect::<Vec<_>>());
        }
        let want = numbers(&tensors, &format!("case{number}.pixel_values"));
        let got = image.patches().unwrap();
        let off = want.iter().zip(&got).map(|(want, got)| (f32::from_le_bytes(*want) - got).abs());
        let worst = off.fold(0.0, f32::max);
        assert!(want.len() == got.len() && worst < 1e-5, "patches of case {number}: {worst}");
    }
}

#[test]
fn an_image_stands_where_it_is_put_with_nothing_between() {
    let processor = Processor::load(&folder()).unwrap();
    let image = |path: &str| json!({"type": "image", "image": path});
    let words = |words: &str| json!({"type": "text", "text": words});
    let turn = |content: Value| json!({"role": "user", "content": content});
    let ids = |message: Value, images: Value| {
        let prompt = sample(&json!({"messages": [message], "images": images}));
        processor.judged(&prompt, &["blue"], &folder()).unwrap().prefix
    };
    let parts = turn(json!([image("image0.png"), words("How many?")]));
    let tagged = ids(turn(json!("<image>How many?")), json!(["image0.png"]));
    assert_eq!(ids(parts, json!([])), tagged);
    assert_eq!(ids(turn(json!("How many?")), json!(["image0.png"])), tagged);
    let two = turn(json!([image("image0.png"), image("image1.png"), words("How many?")]));
    let two = ids(two, json!([]));
    assert_eq!(two.iter().filter(|&&id| id == 360).count(), 15 + 14);
    // Each image counts its rows and columns from where it starts.
    let prompt = sample(&json!({
        "messages": [turn(json!("<image><image>How many?"))],
        "images": ["image0.png", "image1.png"],
    }));
    let judged = processor.judged(&prompt, &["a", "b"], &folder()).unwrap();
    let places = judged.places.unwrap();
    let [first, second] = [judged.image_rows[0], judged.image_rows[15]];
    let start = places[first][0];
    assert_eq!(places[first + 14], [start, start + 2, start + 4]);
    // The longer side, a closing and an opening token.
    assert_eq!(places[second], [start + 5 + 2; 3]);
}
