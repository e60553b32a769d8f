//! `reward data`: pairs from files, judged behind a server.

use serde_json::{Value, json};
use testkit::{Reply, Server};

use crate::run::{fail, lines, succeed, succeed_json, text, write_lines};

#[test]
fn open_pairs_are_cleaned_and_judged() {
    let server = Server::start(|_, body| {
        let words = body["messages"][1]["content"].as_str().expect("one turn of text");
        let (first, _) = words.split_once("The second response:").expect("two responses");
        let better = if first.contains("good") { "first" } else { "second" };
        let content = json!({"better": better, "confidence": 5}).to_string();
        let message = json!({"role": "assistant", "content": content});
        Reply::json(&json!({"model": "m", "choices": [{"message": message}]}))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (data, out) = (folder.path().join("open.jsonl"), folder.path().join("out"));
    let pair = |chosen: &str, rejected: &str| json!({"prompt": "What?", "chosen": chosen, "rejected": rejected});
    let all: [Value; 4] = [
        pair("a good one", "bad"),
        pair("a good one", "bad"),
        pair("worse by far", "this is good"),
        json!({"prompt": "What?"}),
    ];
    write_lines(&data, &all);
    let sources = format!("[{{path = {:?}, name = \"open\"}}]", text(&data));
    let judge = format!("{{base_url = {:?}, model = \"m\"}}", server.address);
    let command =
        ["reward", "data", "--sources", &sources, "--judge", &judge, "--output_dir", text(&out)];
    let plan = succeed(&[&command[..], &["--dry-run"]].concat());
    assert!(
        plan.contains("3 pairs") && plan.contains("up to 3 comparisons") && !out.exists(),
        "{plan}"
    );
    for _ in 0..2 {
        let made = succeed_json(&command);
        let statistics = &made["statistics"];
        assert_eq!(
            (&statistics["num_kept"], &statistics["sources"]),
            (&json!(1), &json!({"open": 4}))
        );
        assert_eq!(statistics["dropped"], json!({"bad_line": 1, "duplicate": 1, "reversed": 1}));
        assert_eq!(server.num_requests(), 2);
    }
    assert_eq!(lines(&out.join("pairs.jsonl"))[0]["source"], "open");
    fail(&[&command[..], &["--min_margin", "3"]].concat(), 2, &["min_margin", "reward_model"]);
    fail(&[&command[..], &["--tau", "3"]].concat(), 2, &["unknown key `tau`", "near_duplicate"]);
}
