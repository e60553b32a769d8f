//! Conversations become prompts and training sequences: image tags, turns, masks and their errors.

use std::path::Path;

use crate::common::{golden, sample};
use preprocess::{Conversation, Error, LanguageFiles, Processor};
use schema::Sample;
use serde_json::{Value, json};

/// The golden model with another template.
fn processor(template: &str) -> Processor {
    let folder = golden("internvl-six-b");
    let mut files = LanguageFiles::load(&folder).unwrap();
    let path = golden(&format!("templates/{template}.jinja"));
    files.chat_template = Some(std::fs::read_to_string(path).unwrap_or(template.to_owned()));
    if template == "deepseek_style" {
        let end = "<｜end▁of▁sentence｜>";
        preprocess::add_special_tokens(&mut files.tokenizer, &["<s>", end]).unwrap();
        files.tokenizer_config = json!({"bos_token": "<s>", "eos_token": {"content": end}});
    }
    let settings = preprocess::VisionSettings::load(&folder).unwrap();
    Processor::from_files(&folder, &files, settings).unwrap()
}

fn turns(texts: &[(&str, &str)], images: usize) -> Sample {
    let messages: Vec<Value> =
        texts.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
    sample(&json!({"messages": messages, "images": vec!["image.png"; images]}))
}

/// What is learned, runs apart by `|`, and the whole text with image rows folded.
fn learned(processor: &Processor, sample: &Sample) -> (String, String) {
    let example = processor.example(sample, &golden("internvl-six-b")).unwrap();
    assert_eq!(example.ids.len(), example.loss_mask.len());
    let spell = |ids: &[u32]| processor.tokenizer.decode_with_special(ids).unwrap();
    let runs: Vec<String> = example
        .ids
        .iter()
        .zip(&example.loss_mask)
        .collect::<Vec<_>>()
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|run| *run[0].1)
        .map(|run| spell(&run.iter().map(|(id, _)| **id).collect::<Vec<_>>()))
        .collect();
    (runs.join("|"), spell(&example.ids).replace("<IMG_CONTEXT>", ""))
}

#[test]
fn every_answer_is_learned_with_its_end_and_nothing_else() {
    let sample = turns(
        &[
            ("user", "a <image>"),
            ("assistant", "one\n"),
            ("user", "<image> b"),
            ("assistant", "two"),
            ("user", "c"),
        ],
        2,
    );
    let (targets, whole) = learned(&processor("smollm_style"), &sample);
    assert_eq!(targets, "one\n<|im_end|>|two<|im_end|>");
    assert_eq!(
        whole,
        "<|im_start|>system\nAnswer like a small helpful model<|im_end|>\n<|im_start|>user\na <img></img><|im_end|>\n\
         <|im_start|>assistant\none\n<|im_end|>\n<|im_start|>user\n<img></img> b<|im_end|>\n<|im_start|>assistant\n\
         two<|im_end|>"
    );
}

/// A preference pair's branches are what fine-tuning would learn of each.
#[test]
fn a_response_is_what_an_example_learns_of_its_last_turn() {
    for template in ["smollm_style", "deepseek_style"] {
        let processor = processor(template);
        let thought = "<think>\nhm\n</think>\n\nyes";
        let asked = [("system", "Be."), ("user", "a <image>")];
        let prompt = turns(&asked, 1);
        let whole = turns(&[&asked[..], &[("assistant", thought)]].concat(), 1);
        let response = processor.response(&prompt, thought).unwrap();
        let example = processor.example(&whole, &golden("internvl-six-b")).unwrap();
        let start = example.loss_mask.iter().rposition(|learned| !learned).unwrap() + 1;
        assert_eq!(response, example.ids[start..], "{template}");
        let before = processor.prompt(&prompt, &golden("internvl-six-b")).unwrap();
        assert_eq!(before.ids, example.ids[..start], "{template}");
        // A response that a model gave after the opened thought is the same response.
        let opened = before.opens_thought().then_some("hm\n</think>\n\nyes");
        let again = processor.response(&prompt, opened.unwrap_or(thought)).unwrap();
        assert_eq!(again, response, "{template}");
    }
}

/// DeepSeek's template opens the thought in the prompt and drops thoughts from the history.
#[test]
fn thoughts_that_a_template_drops_are_learned_all_the_same() {
    let thought = "<think>\nhm\n</think>\n\nyes";
    let sample =
        turns(&[("user", "a"), ("assistant", thought), ("user", "b"), ("assistant", thought)], 0);
    let (targets, whole) = learned(&processor("deepseek_style"), &sample);
    let end = "<｜end▁of▁sentence｜>";
    assert_eq!(targets, format!("hm\n</think>\n\nyes{end}|hm\n</think>\n\nyes{end}"));
    assert_eq!(whole.matches("<think>").count(), 2);
    assert!(whole.starts_with("<s><｜User｜>a<｜Assistant｜><think>\nhm"), "{whole}");
    let (targets, whole) = learned(&processor("thinking_style"), &sample);
    assert_eq!(targets, format!("{thought}<|im_end|>|{thought}<|im_end|>"));
    assert_eq!(whole.matches("<think>").count(), 2);
}

/// The pieces of an example are tokenised as inference sees them: the prompt alone, then the answer.
#[test]
fn an_example_begins_with_the_prompt_of_its_answer() {
    let processor = processor("qwen_style");
    let sample = turns(&[("user", "Sum?"), ("assistant", " 42")], 1);
    let example = processor.example(&sample, &golden("internvl-six-b")).unwrap();
    let prompt = processor.prompt(&sample, &golden("internvl-six-b")).unwrap();
    assert_eq!(example.ids[..example.prompt_length()], prompt.ids);
    assert_eq!(example.image_rows, prompt.image_rows);
    let answer = processor.completion(" 42<|im_end|>").unwrap();
    assert_eq!(example.ids[example.prompt_length()..], answer);
}

#[test]
fn several_images_share_the_limit_on_tiles_in_training() {
    let processor = processor("smollm_style");
    let sample = turns(&[("user", "x"), ("assistant", "y")], 8);
    let base = golden("internvl-six-b");
    let num_tiles =
        |images: &[preprocess::ModelImage]| images.iter().map(|i| i.num_tiles()).sum::<usize>();
    assert_eq!(num_tiles(&processor.example(&sample, &base).unwrap().images), 8);
    assert_eq!(num_tiles(&processor.prompt(&sample, &base).unwrap().images), 24);
}

#[test]
fn images_are_paired_with_tags_in_order() {
    let parts = json!([
        {"type": "image", "image": "p.png"}, {"type": "text", "text": "and <image> and "}, {"type": "image"},
        {"type": "image_url", "image_url": {"url": "data:x"}},
    ]);
    let user = |content: Value| json!([{"role": "system", "content": "s"}, {"role": "user", "content": content}]);
    for (messages, images, text, expected) in [
        (
            user(parts),
            vec!["1", "2"],
            "<image>\nand <image> and <image>\n<image>\n",
            vec!["p.png", "1", "2", "data:x"],
        ),
        (user(json!("hm")), vec!["1", "2"], "<image>\n<image>\nhm", vec!["1", "2"]),
        (user(json!("a<image>b<image>")), vec!["1", "2"], "a<image>b<image>", vec!["1", "2"]),
        (user(json!("hm")), vec![], "hm", vec![]),
    ] {
        let conversation =
            Conversation::from_sample(&sample(&json!({"messages": messages, "images": images})))
                .unwrap();
        assert_eq!(conversation.turns[1].text, text);
        assert_eq!(conversation.images, expected);
    }
}

#[test]
fn what_cannot_be_paired_or_learned_is_an_error_with_the_numbers() {
    let smollm = processor("smollm_style");
    let base = golden("internvl-six-b");
    let prompt =
        |processor: &Processor, sample| processor.prompt(&sample, &base).unwrap_err().to_string();
    let example =
        |processor: &Processor, sample| processor.example(&sample, &base).unwrap_err().to_string();

    let error = prompt(&smollm, turns(&[("user", "<image><image>")], 1));
    assert_eq!(error, "the text has 2 image tags, but there are 1 images");
    let error = prompt(&smollm, turns(&[("user", "<image>")], 0));
    assert_eq!(error, "the text has 1 image tags, but there are 0 images");
    let error = prompt(&smollm, turns(&[("system", "s")], 1));
    assert_eq!(error, "the conversation has 1 images, but no user turn");
    let error = prompt(&smollm, turns(&[("user", "<image> <IMG_CONTEXT>")], 1));
    assert_eq!(error, "the text has 13 image-row tokens where its images account for 12");
    let error = prompt(&smollm, turns(&[("user", "a"), ("assistant", "<image>")], 1));
    assert_eq!(error, "chat template: it renders 0 image tags where the conversation has 1");
    let error = example(&smollm, turns(&[("user", "a")], 0));
    assert_eq!(error, "the conversation has no assistant turn to learn from");
    let unclosed = processor("{% for m in messages %}{{ m.content }}\n{% endfor %}");
    let error = example(&unclosed, turns(&[("user", "a"), ("assistant", "b")], 0));
    assert_eq!(error, "chat template: it does not end the assistant's turn with a special token");
    let silent = processor("{{ messages[0].content }}");
    let error = example(&silent, turns(&[("user", "a"), ("assistant", "b")], 0));
    assert_eq!(error, "chat template: it does not render the assistant's words");
    let error = prompt(
        &smollm,
        sample(&json!({"messages": [{"role": "user", "content": "a"}], "images": ["b.png"]})),
    );
    assert!(error.contains("internvl-six-b/b.png: No such file"), "{error}");
}

#[test]
fn what_exceeds_the_context_is_an_error_with_both_lengths() {
    let mut processor = processor("smollm_style");
    processor.context_length = 20;
    let sample = turns(&[("user", "Sum?"), ("assistant", "42")], 0);
    let base = Path::new(".");
    for error in [processor.prompt(&sample, base).err(), processor.example(&sample, base).err()] {
        let Some(Error::TooLong { length, context: 20 }) = error else { panic!("{error:?}") };
        assert!(length > 20);
    }
    processor.context_length = 4096;
    assert!(processor.prompt(&sample, base).unwrap().ids.len() > 20);
}

#[test]
fn what_cannot_fit_the_context_is_not_begun_with() {
    let mut processor = processor("smollm_style");
    processor.context_length = 11;
    let user = json!([{"role": "user", "content": "<image><image>"}]);
    // The first image has more tokens than that: the second is not looked for.
    let images = sample(&json!({"messages": user, "images": ["image.png", "absent.png"]}));
    let error = processor.prompt(&images, &golden("internvl-six-b")).unwrap_err();
    assert!(matches!(error, Error::TooLong { length: 12, context: 11 }), "{error}");
    // The text is not looked at: it spells a token that stands for an image.
    let text = format!("<IMG_CONTEXT>{}", "because ".repeat(50));
    let error = processor.prompt(&turns(&[("user", &text)], 0), Path::new(".")).unwrap_err();
    assert!(matches!(error, Error::TooLong { context: 11, .. }), "{error}");
}

#[test]
fn a_language_model_alone_takes_text_but_no_images() {
    let folder = golden("internvl-six-b");
    let files = LanguageFiles::load(&folder).unwrap();
    let processor = Processor::from_files(Path::new("text-model"), &files, None).unwrap();
    let prompt = processor.prompt(&turns(&[("user", "a")], 0), &folder).unwrap();
    assert!(prompt.image_rows.is_empty() && prompt.images.is_empty());
    let error = processor.prompt(&turns(&[("user", "a")], 1), &folder).unwrap_err().to_string();
    assert_eq!(
        error,
        "the conversation has 1 images, but the model at text-model has no vision settings"
    );
}
