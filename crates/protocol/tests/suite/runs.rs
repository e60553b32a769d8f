//! Runs: stored, scored, judged, summed up.

use std::path::Path;

use benchmark::{Flaw, Limits, Sandbox, find_tasks};
use judge::Judging;
use protocol::{
    Asked, Error, Gate, Phase, Record, Run, Scheme, Settings, Summary, TaskSummary, compare,
    read_records, run,
};
use stages::Store;

use crate::fixture::{Scripted, gpqa, lamp, settings};

/// Asks the questions of a folder.
fn ask(
    folder: &Path,
    store: &Store,
    settings: &Settings,
    model: &mut Scripted,
    judge: Option<&mut Scripted>,
) -> Result<(Vec<Record>, Vec<Flaw>), Error> {
    let task = find_tasks("gpqa").expect("a task")[0];
    let asked = Asked { task, loaded: gpqa(folder) };
    let images = folder.join("images");
    let mut phases = Vec::new();
    let mut run_of = Run {
        settings,
        store,
        images: &images,
        sandbox: None,
        progress: &mut |phase, done, total| phases.push((phase, done, total)),
    };
    let decoding = settings.judge.expect("a judge");
    let judging = judge.map(|model| Judging { model, decoding });
    let found = run(asked, &mut run_of, model, judging);
    assert!(phases.iter().any(|(phase, ..)| *phase == Phase::Responses));
    found
}

/// The letter of the right answer differs by question: the text is right everywhere.
const SAID: [(&str, &str); 4] = [
    ("Question one", "Thus \\boxed{right}"),
    ("Question two", "It is wrong1."),
    ("Question three", ""),
    ("Question four", "fail"),
];

const JUDGE: [(&str, &str); 3] = [
    ("Question one", r#"{"correct": true, "reason": "the same words"}"#),
    ("Your output", "Z"),
    ("Question", r#"{"correct": false, "reason": "another"}"#),
];

#[test]
fn a_rerun_asks_nothing_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.sqlite")).unwrap();
    let (mut model, mut judge) = (Scripted::new(&SAID), Scripted::new(&JUDGE));
    let first = ask(folder.path(), &store, &settings(), &mut model, Some(&mut judge)).unwrap();
    assert_eq!((model.num_asked, judge.num_asked > 0), (8, true));
    // Each run has a seed of its own.
    assert_eq!((model.seeds[0], model.seeds[7]), (42, 43));
    let (mut again, mut judge) = (Scripted::new(&SAID), Scripted::new(&[]));
    let second = ask(folder.path(), &store, &settings(), &mut again, Some(&mut judge)).unwrap();
    // What failed is asked again, and only that.
    assert_eq!((again.num_asked, judge.num_asked), (2, 0));
    assert_eq!(first, second);
    let other = Settings { num_runs: 3, ..settings() };
    ask(folder.path(), &store, &other, &mut again, None).unwrap();
    assert_eq!(again.num_asked, 2 + 2 + 4);
}

#[test]
fn nothing_is_scored_silently() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let (mut model, mut judge) = (Scripted::new(&SAID), Scripted::new(&JUDGE));
    let (records, flaws) =
        ask(folder.path(), &store, &settings(), &mut model, Some(&mut judge)).unwrap();
    assert_eq!(flaws[0].reason, "column `Incorrect Answer 1` is empty");
    let [one, two, three, four] = &records[..4] else { panic!("four records a run") };
    // Boxed words are no letter: strictly wrong, leniently right, and the judge agrees.
    assert_eq!((one.score(Scheme::Strict), one.score(Scheme::Lenient)), (Some(0.0), Some(1.0)));
    assert!(one.is_disputed());
    let ruling = one.judgement.as_ref().unwrap();
    assert_eq!(
        (ruling.score, ruling.seed, ruling.reason.as_str()),
        (Some(1.0), 7, "the same words")
    );
    assert!(ruling.prompt.contains("Known answer:") && ruling.reply.starts_with("{\"correct\""));
    assert_eq!((two.score(Scheme::Judge), two.is_disputed()), (Some(0.0), false));
    assert_eq!(
        (three.flaw.as_deref(), three.score(Scheme::Strict)),
        (Some("an empty response"), Some(0.0))
    );
    assert_eq!(three.judgement.as_ref().map(|ruling| ruling.score), Some(Some(0.0)));
    assert_eq!(four.flaw.as_deref(), Some("no response: the line is down"));
    assert_eq!(four.score(Scheme::Strict), None);

    let task = find_tasks("gpqa").unwrap()[0];
    let summary = TaskSummary::of(task, &records, &flaws, Scheme::Lenient);
    let found = summary.scores[&Scheme::Lenient];
    assert_eq!((found.num_items, found.score.value), (3, 1.0 / 3.0));
    assert_eq!(summary.by_run, [1.0 / 3.0; 2]);
    let missing =
        [summary.num_unasked, summary.num_unscored, summary.num_empty, summary.num_disputed];
    assert_eq!(missing, [1, 2, 2, 2]);

    let summary = Summary {
        model: "scripted".to_owned(),
        judge: Some("scripted".to_owned()),
        settings: Settings { scoring: Scheme::Lenient, ..settings() },
        tasks: vec![summary],
    };
    let output = folder.path().join("output");
    std::fs::create_dir(&output).unwrap();
    summary.write(&output, &records, &flaws).unwrap();
    assert_eq!(Summary::read(&output).unwrap(), summary);
    assert_eq!(read_records(&output.join("records.jsonl")).unwrap(), records);
    assert_eq!(read_records(&output.join("disputed.jsonl")).unwrap().len(), 2);
    let csv = std::fs::read_to_string(output.join("summary.csv")).unwrap();
    assert!(
        csv.contains("gpqa,,lenient,0.333333,") && csv.contains("gpqa,Physics,lenient,"),
        "{csv}"
    );
    let table = summary.table();
    assert!(table.contains("GPQA Diamond: 1 rows could not be asked"), "{table}");

    let checks = |text: &str| {
        let gate = Gate { thresholds: vec![text.parse().unwrap()], ..Gate::default() };
        gate.check(&summary, &[]).iter().all(|outcome| outcome.passed)
    };
    assert!(checks("gpqa>=33") && !checks("gpqa>=34") && checks("*.clipped<=1%"));
    assert!(!checks("gpqa.flawed<=10%") && checks("gpqa.flawed<=60%") && !checks("mmmu>=1"));
}

#[test]
fn runs_compare_and_a_gate_holds_them_to_a_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let said = |one| {
        [
            ("Question one", one),
            ("Question two", "x"),
            ("Question three", "x"),
            ("Question four", "x"),
        ]
    };
    let of = |one| {
        let mut model = Scripted::new(&said(one));
        // Models of one name would share a store's responses.
        let store = Store::in_memory().unwrap();
        ask(folder.path(), &store, &settings(), &mut model, None).unwrap().0
    };
    let (before, after) = (of("Thus \\boxed{right}"), of("x"));
    let found = compare(&before, &after, Scheme::Lenient).unwrap();
    assert_eq!((found[0].difference, found[0].num_worse, found[0].mcnemar), (-0.25, 1, Some(1.0)));
    let summary =
        Summary { model: String::new(), judge: None, settings: settings(), tasks: Vec::new() };
    let gate = |max_drop, alpha| {
        let gate = Gate { thresholds: vec![], max_drop, alpha };
        gate.check(&summary, &found).iter().all(|outcome| outcome.passed)
    };
    assert!(gate(Some(0.25), Some(0.05)) && !gate(Some(0.2), None));
}

#[test]
fn a_thought_that_the_prompt_opens_has_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let said = "I think the answer is \\boxed{right}";
    let mut model = Scripted::new(&[("Question", said)]);
    let thinking = Settings { opens_thought: true, ..settings() };
    let (records, _) = ask(folder.path(), &store, &thinking, &mut model, None).unwrap();
    assert_eq!(records[0].marks.as_ref().unwrap().why, "the thought was not closed");
    assert_eq!(records[0].score(Scheme::Lenient), Some(0.0));
}

#[test]
fn vlmevalkit_asks_three_times_and_then_draws_by_a_fixed_rule() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let said = [
        ("Question one", "Something else altogether"),
        ("Question two", "Something else altogether"),
        ("Question three", "Cannot determine the answer"),
        ("Question four", "Something else altogether"),
    ];
    let rules = [
        ("Known answer:", r#"{"correct": false, "reason": "another"}"#),
        ("Question: Question one", "right"),
        ("Question: Question two", "<think>B or C</think>Z"),
        ("Question: Question four", "I do not know"),
    ];
    let ask_again = || {
        let (mut model, mut judge) = (Scripted::new(&said), Scripted::new(&rules));
        let found = ask(folder.path(), &store, &settings(), &mut model, Some(&mut judge)).unwrap();
        (found.0, judge.seeds)
    };
    let (records, seeds) = ask_again();
    let [one, two, three, four] = &records[..4] else { panic!("four records a run") };
    let matched = |record: &Record| record.matching.clone().expect("a matching");
    assert_eq!((matched(one).score, matched(one).steps.len()), (Some(1.0), 1));
    assert_eq!(one.score(Scheme::Vlmevalkit), Some(1.0));
    assert_eq!(
        (matched(two).score, matched(two).how.as_str()),
        (Some(0.0), "Z: matched in 1 tries")
    );
    assert_eq!(matched(two).steps[0].reply, "<think>B or C</think>Z");
    assert_eq!((three.matching.as_ref(), three.score(Scheme::Vlmevalkit)), (None, Some(0.0)));
    let drawn = matched(four);
    assert!(drawn.how.ends_with("not matched in 3 tries, drawn"), "{}", drawn.how);
    let seeds_of: Vec<u64> = drawn.steps.iter().map(|step| step.seed).collect();
    assert_eq!(seeds_of, [7, 1_000_010, 2_000_013]);
    assert!(seeds.contains(&1_000_010), "{seeds:?}");
    // A rerun asks nothing and draws the same.
    assert_eq!(ask_again(), (records, Vec::new()));
}

/// Asks the conversation about a lamp.
fn talk(folder: &Path, store: &Store, model: &mut Scripted, sandbox: Option<&Sandbox>) -> Record {
    let task = find_tasks("bfcl").expect("a task")[0];
    let images = folder.join("images");
    let settings = Settings { num_runs: 1, ..settings() };
    let mut run_of =
        Run { settings: &settings, store, images: &images, sandbox, progress: &mut |_, _, _| {} };
    let asked = Asked { task, loaded: lamp(folder) };
    let (mut records, _) = run(asked, &mut run_of, model, None).expect("records");
    records.remove(0)
}

#[test]
fn several_turns_are_asked_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let mut silent = Scripted::new(&[]);
    let record = talk(folder.path(), &store, &mut silent, None);
    assert_eq!((record.score(Scheme::Strict), silent.num_asked), (None, 0));
    assert_eq!(record.flaw.as_deref(), Some("no sandbox: calls are not executed without one"));
    let Ok(sandbox) = Sandbox::find(Path::new("python3"), Limits::default()) else { return };
    // The words that came last stand first.
    let rules = [
        ("on=False'", "It is off."),
        ("Light off!", "<think>Off.</think>[switch(on=False)]"),
        ("on=True'", "It is on."),
        ("Light on!", "[switch(on=True)]"),
    ];
    let mut model = Scripted::new(&rules);
    let record = talk(folder.path(), &store, &mut model, Some(&sandbox));
    assert_eq!((record.score(Scheme::Strict), model.num_asked), (Some(1.0), 4), "{record:?}");
    assert_eq!(record.turns, [["[switch(on=True)]", "It is on."], [rules[1].1, "It is off."]]);
    assert!(record.response.contains("[user]\nLight off!"), "{}", record.response);
    assert!(!record.response.contains("Off.</think>"), "thoughts are not given back");
    let again = talk(folder.path(), &store, &mut silent, Some(&sandbox));
    assert_eq!((again, silent.num_asked), (record, 0), "a rerun asks nothing");
}
