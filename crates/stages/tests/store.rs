//! What is kept is found again, under its own key alone.

use std::borrow::Cow;
use std::path::Path;

use judge::{Correctness, Decoding, Failure, Judge, Judging, Request, Scripted};
use schema::Sample;
use serde_json::json;
use stages::{Entry, Keyed, Stage, Store, key, question_key};

fn request(prompt_version: &str) -> Keyed<'static, Request<'_>> {
    let decoding = Decoding::greedy(8, 1);
    let prompt = Cow::Owned(Sample::default());
    let value = Request { prompt_version, prompt, folder: Path::new(""), decoding, stream: 0 };
    Keyed { content: "item", value }
}

#[test]
fn what_succeeded_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stages.sqlite");
    let mut echo = Scripted::new(|request: &Request<'_>| match request.prompt_version {
        "bad" => Err(Failure::Failed { reason: "bad".to_owned() }),
        version => Ok(version.to_owned()),
    });
    for num_asked in [3, 4, 5] {
        let store = Store::open(&path).unwrap();
        let mut ends = vec![];
        let requests = ["a", "bad", "b"].map(request).into();
        store
            .respond("stage", &mut echo, requests, &mut |index, outcome| {
                ends.push((index, outcome.map(|response| response.text)));
            })
            .unwrap();
        ends.sort_by_key(|(index, _)| *index);
        let texts: Vec<_> = ends.into_iter().map(|(_, outcome)| outcome.ok()).collect();
        assert_eq!(texts, [Some("a".to_owned()), None, Some("b".to_owned())]);
        assert_eq!(echo.num_requests, num_asked, "the failed one alone is tried again");
        let spent = store.spending().unwrap();
        assert_eq!((spent[0].stage.as_str(), spent[0].num_results), ("stage", 2));
        assert_eq!(spent[0].completion_tokens, 2);
    }
    std::fs::write(&path, "no database".repeat(100)).unwrap();
    assert!(Store::open(&path).unwrap_err().to_string().contains("stages.sqlite"));
}

const CHECK: Stage = Stage { name: "check", seed: 1 };

fn question(response: &str) -> Keyed<'_, Correctness<'_>> {
    let value = Correctness { question: "3 + 4?", gold: "7", response };
    Keyed { content: "item", value }
}

#[test]
fn prose_of_a_judge_is_kept_and_its_failure_is_not() {
    let store = Store::in_memory().unwrap();
    let mut chatty = Scripted::new(|request: &Request<'_>| {
        match format!("{:?}", request.prompt.messages).contains("broken") {
            true => Err(Failure::Failed { reason: "gone".to_owned() }),
            false => Ok("Hard to say.".to_owned()),
        }
    });
    // Both questions and a repair, then what failed alone.
    for num_asked in [3, 4] {
        let judging = Judging { model: &mut chatty, decoding: Decoding::greedy(8, 1) };
        let mut ends = vec![];
        let questions = vec![question("seven"), question("broken")];
        let mut found = |index: usize, found| ends.push((index, found));
        store.ask(CHECK, &mut Judge::Model(judging), questions, &mut found).unwrap();
        ends.sort_by_key(|(index, _)| *index);
        let Err(Failure::Unreadable(prose)) = &ends[0].1 else { panic!("{ends:?}") };
        assert_eq!((prose.verdict.excerpt.as_str(), prose.completion_tokens), ("Hard to say.", 6));
        assert!(matches!(&ends[1].1, Err(Failure::Failed { .. })), "{ends:?}");
        assert_eq!(chatty.num_requests, num_asked);
        let spent = store.spending().unwrap();
        assert_eq!((spent[0].num_results, spent[0].completion_tokens), (1, 6));
    }
}

#[test]
fn a_verdict_of_an_older_store_is_read() {
    let store = Store::in_memory().unwrap();
    let seven = question("seven");
    let entry = Entry {
        key: &question_key(CHECK.name, &Judge::Rules.identity(), "item", &seven.value),
        stage: CHECK.name,
        item: "item",
        prompt_version: "correctness/1",
        model: "m",
        seed: 1,
        prompt_tokens: 9,
        completion_tokens: 3,
        cost: 0.5,
    };
    let verdict = json!({ "correct": true, "reason": "the same number" });
    let judged = json!({ "verdict": verdict, "model": "m", "prompt_tokens": 9, "completion_tokens": 3, "cost": 0.5 });
    store.put(&entry, &judged).unwrap();
    let mut reasons = vec![];
    let mut found = |_, found: Result<judge::Correct, Failure>| reasons.push(found.unwrap().reason);
    store.ask(CHECK, &mut Judge::Rules, vec![seven], &mut found).unwrap();
    assert_eq!(reasons, ["the same number"]);
}

#[test]
fn a_key_is_all_its_parts_in_order() {
    let keys = [key(&["ab", "c"]), key(&["a", "bc"]), key(&["c", "ab"]), key(&["ab", "c", ""])];
    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(one) && one.len() == 64);
    }
    assert_eq!(keys[0], key(&["ab", "c"]));
}
