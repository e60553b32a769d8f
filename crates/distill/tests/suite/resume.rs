//! A run that ends early goes on, and a rerun recomputes only what has changed.

use distill::{DistillConfig, read_rows};
use judge::{Failure, Request, Scripted};

use crate::fixture::{
    answer, config, dataset, generator, judge, line, lines, run_judged, verdict, words,
};

#[test]
fn a_rerun_asks_nothing_and_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let first = run_judged(&config, &mut generator(), &mut judge());
    let before = lines(&config, "items.jsonl");
    let (mut again, mut judge_again) = (generator(), judge());
    let second = run_judged(&config, &mut again, &mut judge_again);
    assert_eq!((again.num_requests, judge_again.num_requests), (0, 0));
    assert_eq!((first, before), (second, lines(&config, "items.jsonl")));
    // Another steepness changes the penalties, so chains alone are generated anew.
    let steeper = DistillConfig { alpha: 0.4, ..config.clone() };
    run_judged(&steeper, &mut again, &mut judge_again);
    assert!((1..=9).contains(&again.num_requests), "{}", again.num_requests);
    // The same chains came out, so no verdict is new.
    assert_eq!(judge_again.num_requests, 0);
    // One item more: only it is asked for, unless it moves the scale.
    let more = dataset(folder.path(), &(0..10).map(line).collect::<Vec<_>>());
    let mut fresh = generator();
    run_judged(&DistillConfig { dataset: more, ..config }, &mut fresh, &mut judge_again);
    assert_eq!((fresh.num_requests, judge_again.num_requests), (3, 5));
}

#[test]
fn a_stop_loses_nothing_and_pays_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let mut asked = std::collections::HashMap::new();
    let mut num_runs = 0;
    loop {
        num_runs += 1;
        // A budget of ten requests a run.
        let mut left = 10;
        let mut spend = |text: &str, asked: &mut std::collections::HashMap<String, usize>| {
            if left == 0 {
                return Err(Failure::Stopped { reason: "the budget ends here".to_owned() });
            }
            left -= 1;
            *asked.entry(text.to_owned()).or_insert(0) += 1;
            Ok(())
        };
        let mut generator = Scripted::new(|request: &Request<'_>| {
            let key = format!("{} {:?}", words(request), request.decoding);
            spend(&key, &mut asked)?;
            Ok(answer(&words(request), !request.prompt.images.is_empty()))
        });
        let report = run_judged(&config, &mut generator, &mut judge());
        let ended: usize = report.outcomes.values().sum();
        assert_eq!(ended, 9, "{:?}", report.outcomes);
        assert_eq!(report.stopped.is_some(), report.count("stopped") > 0);
        if report.stopped.is_none() {
            assert_eq!((report.count("kept"), report.count("rewritten")), (6, 3));
            break;
        }
    }
    assert_eq!((num_runs, asked.len()), (3, 27));
    assert!(asked.values().all(|&times| times == 1));
}

/// The process is killed while it writes: what was written before is there, and the rest is done.
#[test]
fn a_killed_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let mut num_before = 0;
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut judge = Scripted::new(|request: &Request<'_>| {
            num_before += 1;
            assert!(num_before < 15, "killed");
            Ok(verdict(&words(request)))
        });
        run_judged(&config, &mut generator(), &mut judge)
    }));
    assert!(killed.is_err());
    assert!(!config.output_dir.join("items.jsonl").exists());
    let (mut generator, mut judge) = (generator(), judge());
    let report = run_judged(&config, &mut generator, &mut judge);
    assert_eq!(
        (report.num_distilled(), generator.num_requests),
        (9, 9),
        "chains alone were missing"
    );
    // 27 grades, 3 comparisons, 3 rewrites, less 14 that were kept.
    assert_eq!(judge.num_requests, 27 + 6 - 14);
    assert_eq!(read_rows(&config.output_dir).unwrap().len(), 9);
}

#[test]
fn a_failed_item_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..4).map(line).collect::<Vec<_>>()));
    let mut broken = Scripted::new(|request: &Request<'_>| match words(request) {
        words if words.contains("Item 2:") && request.prompt_version == "generation/1" => {
            Err(Failure::Failed { reason: "no reply in 5 tries".to_owned() })
        }
        words => Ok(answer(&words, !request.prompt.images.is_empty())),
    });
    let report = run_judged(&config, &mut broken, &mut judge());
    assert_eq!((report.count("failed"), report.num_distilled()), (1, 3));
    let mut generator = generator();
    let report = run_judged(&config, &mut generator, &mut judge());
    assert_eq!((report.count("failed"), report.num_distilled(), generator.num_requests), (0, 4, 1));
}
