//! Videos as frames.

use benchmark::Style;

use crate::fixture::{Folder, png, scores, tsv};

fn frames(folder: &Folder, video: &str) {
    (1..=11).for_each(|frame| {
        folder.write(&format!("{video}/frame{frame}.png"), png(frame));
    });
}

#[test]
fn a_folder_of_frames_is_sampled_evenly() {
    let folder = Folder::new();
    frames(&folder, "video/abc");
    let columns = ["index", "video", "question", "candidates", "answer", "duration"];
    let row: &[&str] = &["1", "abc", "What?", "['A. red', 'B. blue']", "B", "short"];
    let lost: &[&str] = &["2", "gone", "What?", "['A. red', 'B. blue']", "B", "short"];
    folder.write("Video-MME.tsv", tsv(&columns, &[row, lost]));
    let loaded = folder.try_load("video_mme", Style::Vlmevalkit).unwrap();
    let item = &loaded.items[0];
    assert_eq!(
        (item.images.len(), item.cluster.as_str(), item.gold.as_str()),
        (2, "abc", "B. blue")
    );
    assert_eq!(
        item.prompt_text(),
        "<image>\n<image>\n\nThese are the frames of a video. Select the best answer to the following multiple-choice \
         question based on the video. Respond with only the letter (A, B, C, or D) of the correct option.\n\
         Question: What?\nA. red\nB. blue\nAnswer: "
    );
    // The first capital letter from A to D is the answer to the kit.
    assert_eq!(scores(item, "A guess.\nAnswer: \\boxed{B}"), (1.0, 1.0, Some(0.0)));
    assert_eq!(scores(item, "B"), (1.0, 1.0, Some(1.0)));
    assert!(
        loaded.flaws[0].reason.ends_with("gone: neither a folder of frames nor a video"),
        "{:?}",
        loaded.flaws
    );
}

#[test]
fn a_file_needs_ffmpeg() {
    let folder = Folder::new();
    folder.write(
        "mvbench/json/action_sequence.json",
        r#"[{"video": "a.mp4", "question": "Why?", "candidates": ["x", "y"], "answer": "y"}]"#,
    );
    folder.write("mvbench/json/video/a.mp4", "no video");
    let error = folder.try_load("mvbench", Style::Paper).unwrap_err().to_string();
    assert!(
        error.contains("no-such-ffmpeg") && error.ends_with("without it give a folder of frames"),
        "{error}"
    );
    frames(&folder, "mvbench/json/a");
    std::fs::remove_file(folder.data.path().join("mvbench/json/video/a.mp4")).unwrap();
    let item = &folder.items("mvbench", Style::Paper)[0];
    assert_eq!((item.subject.as_str(), item.gold.as_str()), ("action_sequence", "B. y"));
    let prompt = folder.items("mvbench", Style::Vlmevalkit)[0].prompt_text();
    assert!(prompt.starts_with("Carefully watch the video and pay attention"), "{prompt}");
    assert!(
        prompt.ends_with(
            "<image>\nQuestion: Why?\nOptions:\n(A) x\n(B) y\nOnly give the best option.Best option:("
        ),
        "{prompt}"
    );
}

/// Where a machine has ffmpeg, a video of its own test picture is sampled.
#[test]
fn a_file_is_sampled_evenly() {
    let folder = Folder::new();
    let video = folder.write("mvbench/json/video/a.mp4", "");
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-y", "-loglevel", "error", "-f", "lavfi", "-i"])
        .args(["testsrc=duration=2:size=64x48:rate=5"])
        .arg(&video)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let question =
        r#"[{"video": "a.mp4", "question": "Why?", "candidates": ["x", "y"], "answer": "y"}]"#;
    folder.write("mvbench/json/action_sequence.json", question);
    let items = folder.try_load_with("mvbench", Style::Paper, "ffmpeg").unwrap().items;
    assert_eq!(items[0].images.len(), 2);
    assert_ne!(items[0].images[0], items[0].images[1], "two moments differ");
}

#[test]
fn only_a_judge_rates_mmbench_video() {
    let folder = Folder::new();
    frames(&folder, "video/v1");
    let columns = ["index", "video", "video_type", "question", "answer"];
    folder.write(
        "MMBench-Video.tsv",
        tsv(&columns, &[&["1", "v1", "sport", "Who wins?", "The red team."]]),
    );
    let item = &folder.items("mmbench_video", Style::Vlmevalkit)[0];
    assert!(benchmark::score(item, "Red.", None).unwrap().needs_judge);
    let prompt = item.prompt_text();
    assert!(prompt.starts_with("\nYou will be provided with 2 separate frames uniformly sampled"));
    assert!(prompt.ends_with("<image>\n<image>\nQuestion: Who wins?\nAnswer: "), "{prompt}");
}
