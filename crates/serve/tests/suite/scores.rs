//! A reward model's routes, asked by the scorer of every other stage, against the reference.

use std::path::Path;

use model::feature_cache::FeatureCache;
use model::reward_model::RewardModel;
use preprocess::Processor;
use reward::{Asked, Scorer as _};
use rollout::Judge;
use schema::Sample;
use scorer::HttpScorer;
use serde_json::{Value, json};
use serve::{Served, Settings};
use tensor::DType;

use super::{Server, golden};

fn start(settings: Settings) -> Server {
    let folder = golden("model/tests/golden/reward-tiny");
    let model = RewardModel::load(&folder, DType::F32).expect("a golden file");
    let processor = Processor::load(&folder).expect("the tokenizer loads");
    let judge = Judge::new(model, processor, FeatureCache::new(None, 1 << 20), 4096);
    Server::start(Served::reward(judge), settings)
}

/// The reference's cases: a question about a picture, responses, and their scores.
struct Case {
    prompt: Sample,
    responses: Vec<String>,
    scores: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let reference = testkit::json(golden("model/tests/golden/reward-tiny/reference.json"));
    let case = |case: &Value| {
        let prompt = json!({
            "messages": [{ "role": "user", "content": format!("<image>{}", case["question"].as_str().expect("a golden file")) }],
            "images": [case["image"]],
        });
        Case {
            prompt: serde_json::from_value(prompt).expect("a golden file"),
            responses: serde_json::from_value(case["responses"].clone()).expect("a golden file"),
            scores: serde_json::from_value(case["scores"].clone()).expect("a golden file"),
        }
    };
    reference["cases"].as_array().expect("a golden file").iter().map(case).collect()
}

#[test]
fn every_route_gives_the_references_scores() {
    let server = start(Settings::new("judge"));
    let folder = golden("model/tests/golden/reward-tiny");
    for route in ["/score", "/v1/score", "/classify", "/pooling"] {
        let mut scorer =
            HttpScorer::new(scorer::Settings::new(&server.url(route), "judge")).unwrap();
        for Case { prompt, responses, scores } in cases() {
            let asked = Asked { prompt: &prompt, folder: &folder };
            let texts: Vec<&str> = responses.iter().map(String::as_str).collect();
            let found = scorer.scores(&asked, &texts).unwrap();
            for (found, want) in found.iter().zip(&scores) {
                assert!((found - want).abs() < 1e-3, "{route}: {found} instead of {want}");
            }
        }
    }
}

#[test]
fn many_at_once_are_scored_as_each_alone_and_a_bad_one_harms_none() {
    let server = start(Settings::new("judge"));
    let of = |i: usize| {
        let answer = json!({ "role": "assistant", "content": format!("It is {i}.") });
        json!({ "messages": [{ "role": "user", "content": "3 + 4?" }, answer] })
    };
    let image =
        json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    let bad = json!({ "messages": [
        { "role": "user", "content": [image] }, { "role": "assistant", "content": "It." },
    ]});
    let score = |body: &Value| {
        let (status, reply) = server.post("/classify", body);
        (status, reply["data"][0]["probs"][0].clone())
    };
    let alone: Vec<_> = (0..8).map(|i| score(&of(i))).collect();
    assert!(alone.iter().all(|(status, score)| *status == 200 && score.is_f64()), "{alone:?}");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            for (i, alone) in alone.iter().enumerate() {
                let (score, of) = (&score, &of);
                scope.spawn(move || {
                    let (status, found) = score(&of(i));
                    let difference = found.as_f64().unwrap() - alone.1.as_f64().unwrap();
                    assert!(status == 200 && difference.abs() < 1e-4, "{i}: {found} {alone:?}");
                });
            }
            scope.spawn(|| assert_eq!(score(&bad).0, 400));
        }
    });
}

#[test]
fn many_responses_have_their_scores_in_order() {
    let server = start(Settings::new("judge"));
    let responses: Vec<String> = (0..100).map(|i| format!("It is {i}.")).collect();
    let score = |texts: &Value| {
        let (status, reply) =
            server.post("/score", &json!({ "text_1": "3 + 4?", "text_2": texts }));
        assert_eq!(status, 200, "{reply}");
        let scores = reply["data"].as_array().expect("as the API has it").clone();
        scores.iter().map(|one| one["score"].as_f64().expect("a score")).collect::<Vec<_>>()
    };
    let together = score(&json!(responses));
    assert_eq!(together.len(), 100);
    for i in [0, 31, 32, 99] {
        let alone = score(&json!(responses[i]));
        assert!((alone[0] - together[i]).abs() < 1e-4, "{i}: {} {alone:?}", together[i]);
    }
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let server = start(Settings { max_requests: 4, ..Settings::new("judge") });
    let turn = |role: &str| json!({ "role": role, "content": "7" });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let image = json!({ "type": "image_url", "image_url": { "url": path } });
    for (route, body, status) in [
        ("/classify", json!({ "messages": [turn("user")] }), 400),
        ("/classify", json!({ "messages": [turn("assistant")] }), 400),
        ("/pooling", json!({ "messages": [] }), 400),
        ("/pooling", json!({ "input": "7" }), 400),
        ("/score", json!({ "text_1": "3 + 4?", "text_2": [] }), 400),
        ("/score", json!({ "text_1": { "content": [image] }, "text_2": "7" }), 400),
        ("/score", json!({ "text_1": "3 + 4?", "text_2": "7", "model": "other" }), 404),
        ("/score", json!({ "text_1": "3 + 4?", "text_2": "7", "use_activation": true }), 400),
        ("/score", json!({ "text_1": "3 + 4?", "text_2": vec!["7"; 257] }), 400),
        ("/score", json!({ "text_1": "3 + 4?", "text_2": "7" }), 200),
        ("/v1/chat/completions", json!({ "messages": [turn("user")] }), 404),
    ] {
        let (found, reply) = server.post(route, &body);
        assert_eq!(found, status, "{route} {body}: {reply}");
    }
}
