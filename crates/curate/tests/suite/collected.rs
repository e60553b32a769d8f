//! Responses of several models, directly and through a caption.

use curate::{CurateConfig, Helpers, Responder, ResponderConfig, curate};
use judge::{Failure, Request, Scripted, TeacherConfig};
use serde_json::{Value, json};

use crate::fixture::{config, lines, words, write};

fn prompts(folder: &std::path::Path) -> CurateConfig {
    std::fs::write(folder.join("a.png"), "image").unwrap();
    let prompt = |number: usize| {
        json!({
            "messages": [{ "role": "user", "content": format!("<image>\nQuestion {number}?") }],
            "images": ["a.png"], "answer": number.to_string(),
        })
    };
    let mut all: Vec<Value> = (0..3).map(prompt).collect();
    all.push(json!({ "messages": [{ "role": "user", "content": "No answer?" }] }));
    let path = folder.join("prompts.jsonl");
    write(&path, &all);
    let teacher =
        || TeacherConfig { model_name_or_path: Some("x".into()), ..TeacherConfig::default() };
    let responder = |name: &str, captioner| ResponderConfig {
        name: name.to_owned(),
        model: teacher(),
        captioner,
    };
    CurateConfig {
        sources: vec![],
        prompts: Some(path),
        responders: vec![responder("direct", None), responder("reasoner", Some(teacher()))],
        num_generations: 2,
        ..config(folder, &[])
    }
}

fn number(words: &str) -> usize {
    let (_, rest) = words.split_once("Question ").unwrap();
    rest.split('?').next().unwrap().parse().unwrap()
}

#[test]
fn right_and_wrong_responses_are_paired() {
    let folder = tempfile::tempdir().unwrap();
    let config = prompts(folder.path());
    // The model that sees is right in its first draw alone.
    let mut direct = Scripted::new(|request: &Request<'_>| {
        assert_eq!(request.prompt.images.len(), 1);
        let wrong = (request.decoding.seed - 42) as usize;
        Ok(format!("<think>\nI see.\n</think>\n\n\\boxed{{{}}}", number(&words(request)) + wrong))
    });
    let mut captioner = Scripted::new(|request: &Request<'_>| match words(request) {
        words if number(&words) == 2 => Err(Failure::Failed { reason: "dark".to_owned() }),
        words => Ok(format!("<think>hm</think>A picture for {}.", number(&words))),
    });
    let mut reasoner = Scripted::new(|request: &Request<'_>| {
        let words = words(request);
        assert!(
            request.prompt.images.is_empty() && words.contains("described: A picture for"),
            "{words}"
        );
        Ok(format!("Because. \\boxed{{{}}}", number(&words)))
    });
    let mut statistics = vec![];
    for _ in 0..2 {
        let responders = vec![
            Responder { name: "direct".to_owned(), model: &mut direct, captioner: None },
            Responder {
                name: "reasoner".to_owned(),
                model: &mut reasoner,
                captioner: Some(&mut captioner),
            },
        ];
        let helpers = Helpers { responders, judge: None, scorer: None };
        statistics.push(curate(&config, helpers, &mut |_| {}).unwrap());
    }
    assert_eq!(statistics[0], statistics[1]);
    let first = &statistics[0];
    assert_eq!((first.responses["direct"], first.responses["reasoner"]), ([3, 6], [4, 4]));
    assert_eq!((first.num_prompts, first.num_failed_requests), (3, 1));
    // Of each prompt up to three pairs, those with the same words being one.
    assert_eq!(first.num_in(), first.num_kept + first.dropped.values().sum::<usize>());
    let pairs = lines(&config, "pairs.jsonl");
    assert!(pairs.len() >= 5 && first.num_kept == pairs.len(), "{first:?}");
    for pair in &pairs {
        let [chosen, rejected] =
            ["chosen", "rejected"].map(|side| pair[side][0]["content"].as_str().unwrap());
        let gold = pair["answer"].as_str().unwrap();
        assert!(
            chosen.ends_with(&format!("{{{gold}}}")) && !rejected.ends_with(&format!("{{{gold}}}")),
            "{pair}"
        );
        assert_eq!(
            (&pair["source"], &pair["responders"][1]),
            (&json!("collected"), &json!("direct"))
        );
    }
    // Only the caption that failed was tried again.
    assert_eq!((direct.num_requests, captioner.num_requests, reasoner.num_requests), (6, 4, 4));
}
