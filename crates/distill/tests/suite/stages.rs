//! What each stage makes of good items.

use distill::{Filter, Plan, Stage, export, read_rows};
use judge::{Failure, Scripted, TeacherConfig};
use parquet_reader::num_rows;
use serde_json::json;

use crate::fixture::{
    answer, config, dataset, generator, judge, line, lines, run, run_judged, verdict, words,
};

/// Reads a table back.
mod parquet_reader {
    use std::fs::File;
    use std::path::Path;

    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    pub(crate) fn num_rows(path: &Path) -> (i64, Vec<String>) {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let file = reader.metadata().file_metadata();
        let first = reader.get_row_iter(None).unwrap().next().map(|row| row.unwrap().to_string());
        (file.num_rows(), first.into_iter().collect())
    }
}

#[test]
fn rules_alone_keep_what_is_right_and_drop_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let mut generator = generator();
    let report = run(&config, &mut generator);
    assert_eq!((report.num_lines, report.count("kept"), report.count("dropped")), (9, 6, 3));
    // With and without the image, and the chain.
    assert_eq!(generator.num_requests, 27);
    let distilled = lines(&config, "distilled.jsonl");
    assert_eq!(distilled.len(), 6);
    let first = &distilled[0];
    assert_eq!(
        first["messages"][1]["content"],
        "<think>\nOne more than 1.\n</think>\n\n\\boxed{2}"
    );
    assert_eq!((&first["answer"], &first["distill"]["outcome"]), (&json!("2"), &json!("kept")));
    let image = first["images"][0].as_str().unwrap();
    assert!(std::path::Path::new(image).is_absolute() && image.ends_with("flat.bmp"), "{image}");
}

#[test]
fn clear_images_have_a_lower_penalty() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(1..3).map(line).collect::<Vec<_>>()));
    run(&config, &mut generator());
    let rows = read_rows(&config.output_dir).unwrap();
    let [flat, sharp] = [&rows[0], &rows[1]];
    assert_eq!(
        (flat.laplacian_variance, sharp.laplacian_variance),
        (Some(0.0), Some(1020.0 * 1020.0))
    );
    assert_eq!((flat.vision, sharp.vision), (Some(0.0), Some(1.0)));
    // The other two scores are equal and so one half: P = exp(0.2 · (1 − (Ŝ_v + 1) / 3)).
    assert_eq!((flat.penalty, sharp.penalty), (Some(1.14), Some(1.07)));
    assert_eq!((flat.necessity, flat.short_side), (Some(5.0), Some(16.0)));
}

#[test]
fn one_penalty_can_be_set_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&dataset(folder.path(), &(1..3).map(line).collect::<Vec<_>>()));
    config.repetition_penalty = Some(1.05);
    run(&config, &mut generator());
    let rows = read_rows(&config.output_dir).unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.penalty, row.vision)).collect();
    assert_eq!(found, [(Some(1.05), Some(0.0)), (Some(1.05), Some(1.0))]);
}

#[test]
fn the_penalty_reaches_the_generator() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&dataset(folder.path(), &(1..3).map(line).collect::<Vec<_>>()));
    config.instruction = Some("Think first.".to_owned());
    let mut seen = vec![];
    let mut stub = Scripted::new(|request: &judge::Request<'_>| {
        seen.push((request.prompt_version.to_owned(), request.decoding, words(request)));
        Ok(answer(&words(request), !request.prompt.images.is_empty()))
    });
    run(&config, &mut stub);
    let chains: Vec<_> = seen.iter().filter(|(version, ..)| version == "generation/1").collect();
    let penalties: Vec<f64> = chains.iter().map(|(_, d, _)| d.repetition_penalty).collect();
    assert_eq!(penalties, [1.14, 1.07]);
    assert!(
        chains.iter().all(|(_, d, words)| d.temperature == 0.6 && words.ends_with("Think first."))
    );
    let others = seen.iter().filter(|(version, ..)| version == "ablation/1");
    assert!(others.clone().count() == 4 && others.clone().all(|(_, d, _)| d.temperature == 0.0));
}

#[test]
fn wrong_chains_are_written_anew_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let report = run_judged(&config, &mut generator(), &mut judge());
    assert_eq!((report.count("kept"), report.count("rewritten")), (6, 3));
    let distilled = lines(&config, "distilled.jsonl");
    let rewritten = distilled.iter().find(|line| line["id"] == "sum-3").unwrap();
    assert_eq!(
        rewritten["messages"][1]["content"],
        "<think>\nAdd one to 3.\n</think>\n\nSo \\boxed{4}."
    );

    // A judge whose chains go elsewhere, or have no form, rescues nothing.
    for (bad, want) in [
        ("<think>\nWell.\n</think>\n\n\\boxed{77}", "not the known answer"),
        ("It is \\boxed{1}.", "does not begin with <think>"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = crate::fixture::config(&dataset(folder.path(), &[line(3)]));
        let mut judge = Scripted::new(|request: &judge::Request<'_>| match words(request) {
            words if words.contains("You mend chains") => Ok(bad.to_owned()),
            words => Ok(verdict(&words)),
        });
        let report = run_judged(&config, &mut generator(), &mut judge);
        assert_eq!(report.count("dropped"), 1);
        let rows = read_rows(&config.output_dir).unwrap();
        assert!(rows[0].reason.as_ref().unwrap().contains(want), "{:?}", rows[0].reason);
        assert_eq!(lines(&config, "distilled.jsonl").len(), 0);
    }
}

#[test]
fn right_answers_without_a_thought_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &[line(1)]));
    for text in ["\\boxed{2}", "<think>\n</think>\\boxed{2}"] {
        let mut stub = Scripted::new(|_: &judge::Request<'_>| Ok(text.to_owned()));
        let config = distill::DistillConfig { seed: text.len() as u64, ..config.clone() };
        assert_eq!(run(&config, &mut stub).count("dropped"), 1, "{text}");
    }
    // A prompt that opens the thought leaves the opening out of the completion.
    let mut stub =
        Scripted::new(|_: &judge::Request<'_>| Ok("One and one.</think>\\boxed{2}".to_owned()));
    assert_eq!(
        run(&distill::DistillConfig { seed: 0, ..config.clone() }, &mut stub).count("kept"),
        1
    );
    let chain = &lines(&config, "distilled.jsonl")[0]["messages"][1]["content"];
    assert_eq!(chain, "<think>\nOne and one.</think>\\boxed{2}");
}

#[test]
fn a_judge_may_find_right_what_no_rule_does() {
    let folder = tempfile::tempdir().unwrap();
    let lenient = || {
        Scripted::new(|request: &judge::Request<'_>| match words(request) {
            words if words.contains("{\"correct\"") => {
                Ok(r#"{"correct": true, "reason": "the same"}"#.to_owned())
            }
            words => Ok(verdict(&words)),
        })
    };
    let mut config = config(&dataset(folder.path(), &[line(3)]));
    assert_eq!(run_judged(&config, &mut generator(), &mut lenient()).count("kept"), 1);
    config.answer_check = distill::AnswerCheck::Rule;
    assert_eq!(run_judged(&config, &mut generator(), &mut lenient()).count("rewritten"), 1);
}

#[test]
fn rows_are_filtered_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    let report = run_judged(&config, &mut generator(), &mut judge());
    assert_eq!(report.calibration.bins.iter().map(|bin| bin.num_items).sum::<usize>(), 9);
    assert!(report.to_string().contains("rank correlation"));
    let rows = read_rows(&config.output_dir).unwrap();
    let path = |name: &str| folder.path().join(name);
    let filters =
        |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Filter>>();
    let count = |texts: &[&str]| export(&rows, &filters(texts), &path("a.jsonl")).unwrap();
    assert_eq!(count(&[]), 9);
    assert_eq!(count(&["outcome=kept"]), 6);
    assert_eq!(count(&["outcome != kept", "line >= 4"]), 2);
    assert_eq!(count(&["vision>0.5"]) + count(&["vision<=0.5"]), 9);
    assert_eq!(export(&rows, &filters(&["correct=1"]), &path("a.parquet")).unwrap(), 6);
    let (num, first) = num_rows(&path("a.parquet"));
    assert_eq!(num, 6);
    assert!(
        first[0].contains("outcome: \"kept\"") && first[0].contains("reason: null"),
        "{first:?}"
    );
    assert!(export(&rows, &[], &path("a.csv")).unwrap_err().to_string().contains(".parquet"));
    for bad in ["penalty", "penalty~1", "penal=1", "penalty=low", "=1"] {
        let error = bad.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains("COLUMN OP VALUE"), "{error}");
    }
}

#[test]
fn a_plan_counts_what_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&dataset(folder.path(), &(0..9).map(line).collect::<Vec<_>>()));
    config.judge = Some(TeacherConfig {
        base_url: Some("http://localhost".to_owned()),
        model: Some("m".to_owned()),
        input_price: Some(1.0),
        output_price: Some(2.0),
        ..TeacherConfig::default()
    });
    let plan = |config: &_| Plan::new(config, "scripted", Some("scripted")).unwrap();
    let before = plan(&config);
    let of = |plan: &Plan, stage| *plan.stages.iter().find(|p| p.stage == stage).unwrap();
    assert_eq!(before.stages.len(), 8);
    let relevance = of(&before, Stage::Relevance);
    assert_eq!((relevance.num_requests, relevance.num_stored), (9, 0));
    assert!(relevance.prompt_tokens > 9 * 1105 && relevance.completion_tokens == 9 * 1024);
    let want = relevance.prompt_tokens as f64 / 1e6 + 2.0 * 9.0 * 1024.0 / 1e6;
    assert!((relevance.cost - want).abs() < 1e-9 && before.to_string().contains("relevance"));
    let mut gone = Scripted::new(|request: &judge::Request<'_>| match request.prompt_version {
        "relevance/1" | "text/1" => Ok(verdict(&words(request))),
        _ => Err(Failure::Failed { reason: "gone".to_owned() }),
    });
    let report = run_judged(&config, &mut generator(), &mut gone);
    assert_eq!(report.count("failed"), 9);
    let after = plan(&config);
    for (stage, want) in [(Stage::Seeing, 9), (Stage::Relevance, 9), (Stage::Integration, 0)] {
        assert_eq!(of(&after, stage).num_stored, want, "{stage:?}");
    }
    assert_eq!((of(&after, Stage::Text).num_stored, of(&after, Stage::Text).cost), (9, 0.0));
}
