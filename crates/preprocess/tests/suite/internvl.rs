//! The golden checkpoint in the InternVL layout: rendered prompt, ids, tiles and pixel values agree exactly.

use std::path::Path;

use crate::common::{golden, golden_json, sample, text};
use preprocess::{Grid, Processor, VisionSettings};
use safetensors::SafeTensors;
use schema::Sample;
use serde_json::{Value, json};

fn processor() -> Processor {
    Processor::load(&golden("internvl-six-b")).unwrap()
}

fn ids(tensors: &SafeTensors, name: &str) -> Vec<u32> {
    let bytes = tensors.tensor(name).unwrap().data().to_vec();
    bytes.chunks_exact(4).map(|id| u32::from_le_bytes(id.try_into().unwrap())).collect()
}

/// The reference's question and image, with `answer` as the assistant's turn when there is one.
fn conversation(question: &str, answer: Option<&str>) -> Sample {
    let mut messages = vec![json!({"role": "user", "content": question})];
    messages.extend(answer.map(|answer| json!({"role": "assistant", "content": answer})));
    sample(&json!({"messages": messages, "images": ["image.png"]}))
}

#[test]
fn prompt_and_pixels_equal_the_reference() {
    let reference = golden_json("internvl-six-b/reference.json");
    let file = std::fs::read(golden("internvl-six-b/reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let sample = conversation(text(&reference["question"]), None);
    let prompt = processor().prompt(&sample, &golden("internvl-six-b")).unwrap();

    assert_eq!(prompt.text, text(&reference["rendered_prompt"]));
    assert_eq!(prompt.ids, ids(&tensors, "input_ids"));
    assert!(prompt.opens_thought());
    let [image] = &prompt.images[..] else { panic!("one image") };
    let image = image.tiled().unwrap();
    assert_eq!(image.grid(), Grid { columns: 2, rows: 1 });
    assert_eq!(json!(image.num_tiles()), reference["num_tiles"]);
    assert_eq!(json!(image.settings().tokens_per_tile), reference["tokens_per_tile"]);
    assert_eq!(prompt.image_rows.len(), 12);
    assert!(
        prompt
            .image_rows
            .iter()
            .all(|&row| json!(prompt.ids[row]) == reference["special_ids"]["<IMG_CONTEXT>"])
    );

    let expected = tensors.tensor("pixel_values").unwrap();
    assert_eq!(expected.shape(), [3, 3, 56, 56]);
    let bytes: Vec<u8> =
        image.pixel_values().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect();
    assert!(bytes == expected.data(), "pixel values differ");
}

/// The rows keep their places when the image is hidden.
#[test]
fn a_blind_prompt_differs_in_pixels_alone() {
    let prompt = processor()
        .prompt(&conversation("<image>\nWhat?", None), &golden("internvl-six-b"))
        .unwrap();
    let blind = prompt.blind();
    assert_eq!((&blind.ids, &blind.image_rows), (&prompt.ids, &prompt.image_rows));
    assert_eq!(blind.images[0].shape(), prompt.images[0].shape());
    assert_ne!(blind.images[0].key(), prompt.images[0].key());
    let mut values = blind.images[0].pixel_values().unwrap();
    assert_eq!(values.len(), 3 * 3 * 56 * 56);
    values.dedup();
    assert_eq!(values.len(), 9, "one value for each channel of each tile");
}

#[test]
fn the_example_is_the_prompt_and_the_reference_answer() {
    let reference = golden_json("internvl-six-b/reference.json");
    let file = std::fs::read(golden("internvl-six-b/reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let (prompt, answer) = (ids(&tensors, "input_ids"), ids(&tensors, "answer_ids"));
    let processor = processor();
    assert_eq!(processor.completion(text(&reference["answer"])).unwrap(), answer);

    let answer_text = text(&reference["answer"]).strip_suffix("<|im_end|>").unwrap();
    for opening in ["", "<think>\n", "<think>"] {
        let sample =
            conversation(text(&reference["question"]), Some(&format!("{opening}{answer_text}")));
        let example = processor.example(&sample, &golden("internvl-six-b")).unwrap();
        assert_eq!(example.ids, [&prompt[..], &answer[..]].concat(), "{opening:?}");
        assert_eq!(json!(example.num_targets()), reference["num_answer_tokens"]);
        assert_eq!(example.prompt_length(), prompt.len());
        assert!(example.loss_mask[prompt.len()..].iter().all(|&learned| learned));
        let generation = processor.prompt(&sample, &golden("internvl-six-b")).unwrap();
        assert_eq!(generation.ids, prompt, "the answer is no part of the prompt");
    }
}

#[test]
fn settings_and_stop_tokens_come_from_the_folder() {
    let processor = processor();
    assert_eq!(processor.stop_ids, [422]);
    assert_eq!(processor.context_length, 4096);
    let input = processor.images.as_ref().unwrap();
    let VisionSettings::Tiles(settings) = &input.settings else { panic!("tiles") };
    assert_eq!((input.row_id, settings.tile_size, settings.max_tiles), (427, 56, 12));
    let image = processor.image("image.png", &golden("internvl-six-b")).unwrap();
    assert_eq!(image.num_tiles(), 3);
}

/// A copy of the golden folder with one file's value changed.
fn changed(file: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("internvl-six-b")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let mut value = golden_json(&format!("internvl-six-b/{file}"));
    change(&mut value);
    std::fs::write(folder.path().join(file), value.to_string()).unwrap();
    folder
}

fn load_error(folder: &Path) -> String {
    Processor::load(folder).unwrap_err().to_string()
}

#[test]
fn a_folder_that_lacks_something_says_what() {
    let folder = changed("tokenizer.json", |tokenizer| {
        tokenizer["added_tokens"]
            .as_array_mut()
            .unwrap()
            .retain(|token| token["content"] != "</img>");
    });
    assert_eq!(
        load_error(folder.path()),
        "the tokenizer has no token \"</img>\", which closes an image in the text"
    );
    let folder = changed("config.json", |config| config["llm_config"] = json!({}));
    assert!(load_error(folder.path()).ends_with("has no max_position_embeddings"));
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    assert!(load_error(folder.path()).ends_with("has no chat template"));
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    assert!(load_error(folder.path()).contains("config.json: EOF while parsing"));
}

#[test]
fn a_template_may_stand_in_the_tokenizer_config() {
    for template in [
        json!("{{ 'one' }}"),
        json!([{"name": "rag", "template": "two"}, {"name": "default", "template": "{{ 'one' }}"}]),
    ] {
        let folder =
            changed("tokenizer_config.json", |config| config["chat_template"] = template.clone());
        std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
        let processor = Processor::load(folder.path()).unwrap();
        assert_eq!(processor.template.source(), "{{ 'one' }}");
    }
}

#[test]
fn end_tokens_may_be_many() {
    let folder =
        changed("generation_config.json", |config| config["eos_token_id"] = json!([421, 420]));
    assert_eq!(Processor::load(folder.path()).unwrap().stop_ids, [420, 421, 422]);
}
