//! The whole page, on a run made up for the purpose.

use std::path::Path;

use report::{Answer, Comparison, Curve, Example, Fact, Interval, RunSummary, Stage};

/// A black 1x1 PNG.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";
const ATTACK: &str = "</p><script>alert(1)</script><img src=x onerror='alert(2)'>";

fn stage(name: &str, accuracy: f64, seconds: f64) -> Stage {
    let around = |value: f64| Interval { value, low: (value - 0.05).max(0.0), high: value + 0.05 };
    Stage {
        num_items: Some(300),
        accuracy: Some(around(accuracy)),
        blind: Some(Interval { value: 0.0625, low: 0.03125, high: 0.125 }),
        well_formed: Some(0.98),
        mean_length: Some(23.4),
        num_steps: Some(240),
        num_trained_tokens: Some(1_234_567),
        seconds: Some(seconds),
        ..Stage::named(name)
    }
}

fn summary(folder: &Path) -> RunSummary {
    let rows: String = (0..200)
        .map(|i| {
            let (x, wave) = (f64::from(i) / 200.0, f64::from(i * 37 % 11) / 50.0);
            format!(
                "{{\"step\":{i},\"loss\":{},\"reward\":{}}}\n",
                3.0 - 2.0 * x + wave,
                0.5 * x + wave
            )
        })
        .collect();
    std::fs::write(folder.join("metrics.jsonl"), rows).expect("the folder is writable");
    let answer = |stage: &str, completion: &str, correct| Answer {
        stage: stage.into(),
        completion: completion.into(),
        correct,
    };
    let example = Example {
        images: vec![PIXEL.into()],
        question: "What is the sum of the two digits?".into(),
        gold: "12".into(),
        answers: vec![
            answer("assembled", ATTACK, false),
            answer("SFT", "<think>\nI see 5 and 8. 5 + 8 = 13.\n</think>\n\n\\boxed{13}", false),
            answer("GRPO", "<think>\nI see 4 and 8. 4 + 8 = 12.\n</think>\n\n\\boxed{12}", true),
        ],
    };
    RunSummary {
        description: "DINOv2-small and SmolLM2-135M-Instruct learn to add handwritten digits."
            .into(),
        facts: vec![
            Fact { name: "seed".into(), value: "0".into() },
            Fact { name: "note".into(), value: ATTACK.into() },
        ],
        stages: vec![
            Stage::named("fetched"),
            stage("assembled", 0.02, 4.0),
            stage("SFT", 0.55, 301.0),
            stage("GRPO", 0.62, 4000.0),
        ],
        comparisons: vec![Comparison {
            before: "SFT".into(),
            after: "GRPO".into(),
            num_items: 600,
            only_before: 31,
            only_after: 73,
            p_value: 0.00005,
        }],
        curves: vec![
            Curve::of("Loss", "metrics.jsonl", &[("loss", "loss")]),
            Curve::of("Reward", "metrics.jsonl", &[("mean", "reward"), ("missing", "missing")])
                .in_percent(),
            Curve::of("Nothing", "metrics.jsonl", &[("absent", "absent")]),
        ],
        examples: vec![example; 5],
        ..RunSummary::titled(ATTACK)
    }
}

#[test]
fn everything_is_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    // Kept, so that a person can look at it.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    report::write(&summary(folder.path()), folder.path(), &path).unwrap();
    let html = std::fs::read_to_string(&path).unwrap();
    let expected = [
        "55.0 %",
        "50.0 – 60.0",
        "1\u{202f}234\u{202f}567",
        "5 min 01 s",
        "+7.0 points on the same 600 items",
        "p &lt; 0.001",
        "No values were recorded.",
        "I see 4 and 8.",
        "\\boxed{12}",
        "prefers-color-scheme: dark",
        "width=device-width",
        PIXEL,
    ];
    for text in expected {
        let escaped = text.replace('/', "&#x2f;");
        assert!(html.contains(text) || html.contains(&escaped), "{text} is missing");
    }
    assert_eq!(html.matches("<svg").count(), 3);
}

#[test]
fn nothing_a_model_or_file_says_becomes_markup() {
    let folder = tempfile::tempdir().unwrap();
    let mut summary = summary(folder.path());
    summary.stages[1].name = ATTACK.into();
    summary.curves[0].title = ATTACK.into();
    summary.curves[0].lines[0].label = ATTACK.into();
    summary.examples[0].question = ATTACK.into();
    summary.examples[0].gold = ATTACK.into();
    summary.examples[0].images[0] = format!("data:image/png,\" onerror=\"{ATTACK}");
    let html = report::render(&summary, folder.path()).unwrap();
    assert!(
        !html.contains("<script") && !html.contains("<img src=x") && !html.contains("\" onerror=")
    );
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_summary_survives_json_and_errors_name_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut summary = summary(folder.path());
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<RunSummary>(&text).unwrap(), summary);
    summary.examples[0].images[0] = "gone.png".into();
    let error = report::render(&summary, folder.path()).unwrap_err().to_string();
    assert!(error.contains("gone.png"), "{error}");
    summary.curves[0].lines[0].metrics = "gone.jsonl".into();
    let error = report::render(&summary, folder.path()).unwrap_err().to_string();
    assert!(error.contains("gone.jsonl"), "{error}");
}
