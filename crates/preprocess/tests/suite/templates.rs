//! Rendered conversations equal transformers' `apply_chat_template`.

use crate::common::{golden, golden_json, sample, text};
use preprocess::{ChatTemplate, Conversation};
use serde_json::{Value, json};

fn render(
    template: &str,
    special_tokens: &Value,
    now: u64,
    case: &Value,
) -> preprocess::Result<String> {
    let special_tokens: Vec<_> = special_tokens
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, token)| (name.clone(), text(token).to_owned()))
        .collect();
    let template = ChatTemplate::new(template, &special_tokens, now)?;
    let mut case = case.clone();
    let num_images = case["messages"].to_string().matches("<image>").count();
    case["images"] = json!(vec!["a.png"; num_images]);
    let conversation = Conversation::from_sample(&sample(&case)).unwrap();
    if case["prompt"] == true {
        template.render_prompt(&conversation.turns)
    } else {
        template.render(&conversation.turns)
    }
}

#[test]
fn rendering_equals_transformers() {
    let golden_file = golden_json("templates.json");
    let now = golden_file["now"].as_u64().unwrap();
    let cases = golden_file["cases"].as_array().unwrap();
    assert!(cases.len() > 80);
    for case in cases {
        let template = std::fs::read_to_string(golden(text(&case["template"]))).unwrap();
        let rendered = render(&template, &golden_file["special_tokens"], now, case);
        assert_eq!(rendered.ok().as_deref(), case["text"].as_str(), "{case}");
    }
}

#[test]
fn errors_say_what_the_template_says() {
    let case = json!({"messages": [{"role": "user", "content": "a"}], "prompt": true});
    for (template, expected) in [
        ("{{ raise_exception('no system turn') }}", "no system turn"),
        ("{% for %}", "syntax error"),
        ("{{ messages[0].x.y }}", "undefined"),
        ("{{ [strftime_now] | tojson(separators=1) }}", "separators"),
    ] {
        let error = render(template, &json!({}), 0, &case).unwrap_err().to_string();
        assert!(error.starts_with("chat template: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_template_must_keep_the_place_of_an_image() {
    let check = |source| ChatTemplate::new(source, &[], 0).unwrap().check_image_slot();
    check("{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
    let error = check("{{ messages[0].role }}").unwrap_err().to_string();
    assert_eq!(error, "chat template: it renders the <image> of a user's turn 0 times");
}

#[test]
fn threads_may_share_a_processor() {
    fn shared<T: Send + Sync>() {}
    shared::<preprocess::Processor>();
    shared::<preprocess::Prompt>();
}
