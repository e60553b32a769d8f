//! What is kept is found again, under its own key alone.

use std::borrow::Cow;
use std::path::Path;

use judge::{Decoding, Failure, Request, Scripted};
use schema::Sample;
use stages::{Keyed, Store, key};

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

#[test]
fn a_key_is_all_its_parts_in_order() {
    let keys = [key(&["ab", "c"]), key(&["a", "bc"]), key(&["c", "ab"]), key(&["ab", "c", ""])];
    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(one) && one.len() == 64);
    }
    assert_eq!(keys[0], key(&["ab", "c"]));
}
