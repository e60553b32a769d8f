//! easy-VQA converted from a small made copy of its folders.

use std::fs;

use data::Dataset;
use data::easy_vqa::{Questions, build};

#[test]
fn converts_both_splits() {
    let (source, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for split in ["train", "test"] {
        let images = source.path().join(split).join("images");
        fs::create_dir_all(&images).unwrap();
        for image in [0, 12] {
            fs::write(images.join(format!("{image}.png")), split).unwrap();
        }
        let entries = r#"[["what shape is in the image?", "circle", 0], ["what color is the shape?", "blue", 0],
            ["is there a red shape?", "no", 0], ["is no circle present?", "yes", 12]]"#;
        fs::write(source.path().join(split).join("questions.json"), entries).unwrap();
    }
    let files = build(source.path(), Questions::All, output.path()).unwrap();
    assert_eq!((files.num_train, files.num_held_out), (4, 4));
    let held_out = Dataset::read(&files.held_out).unwrap();
    let line = serde_json::to_string(&held_out.samples[2]).unwrap();
    let expected = r#"{"id":"held-out-00002","messages":[{"role":"user","content":"<image>\nis there a red shape?"},{"role":"assistant","content":"<think>\nThe image shows a blue circle.\n</think>\n\n\\boxed{no}"}],"images":["images/held-out-0000.png"],"answer":"no"}"#;
    assert_eq!(line, expected);
    assert_eq!(fs::read_to_string(output.path().join("images/held-out-0012.png")).unwrap(), "test");
    let schema::Content::Text(unknown) = &held_out.samples[3].messages[1].content else {
        panic!("text")
    };
    assert_eq!(unknown, "\\boxed{yes}", "no question tells what image 12 shows");

    let open = build(source.path(), Questions::Open, output.path()).unwrap();
    assert_eq!((open.num_train, open.num_held_out), (2, 2));
    fs::remove_file(source.path().join("test/images/0.png")).unwrap();
    assert!(
        build(source.path(), Questions::Open, output.path())
            .unwrap_err()
            .to_string()
            .contains("images/0.png")
    );
    fs::write(source.path().join("train/questions.json"), "[[1]]").unwrap();
    assert!(
        build(source.path(), Questions::Open, output.path())
            .unwrap_err()
            .to_string()
            .contains("questions.json")
    );
}
