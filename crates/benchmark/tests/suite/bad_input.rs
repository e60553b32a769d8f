//! Rows that cannot be asked are named, one by one.

use benchmark::Style;

use crate::fixture::{Folder, base64, tsv};

#[test]
fn each_row_says_what_is_wrong_with_it() {
    let folder = Folder::new();
    let columns = ["index", "image", "question", "A", "B", "answer", "category"];
    let good = base64(1);
    let cut = &good[..good.len() - 60];
    let not_image = "QUJD".repeat(40);
    folder.write(
        "MMMU_DEV_VAL.tsv",
        tsv(
            &columns,
            &[
                &["1", &good, "<image 1>", "red", "blue", "A", "Art"],
                &["2", &not_image, "<image 1>", "red", "blue", "A", "Art"],
                &["3", &good, "<image 2>", "red", "blue", "A", "Art"],
                &["4", &format!("['{good}', '{good}']"), "<image 1>", "red", "blue", "A", "Art"],
                &["5", &good, "<image 1>", "red", "blue", "C", "Art"],
                &["6", &good, "<image 1>", "red", "blue", "", "Art"],
                &["7", "99", "<image 1>", "red", "blue", "A", "Art"],
                &["8", &good, "", "red", "blue", "A", "Art"],
            ],
        ),
    );
    let loaded = folder.try_load("mmmu", Style::Paper).unwrap();
    assert_eq!(loaded.items.len(), 1);
    let expected = [
        ("3", "column `image`: an image that cannot be read: of no known format"),
        ("4", "tag <image 2>, but 1 images"),
        ("5", "2 images, but no tag <image 2>"),
        ("6", "answer \"C\" is none of 2 options"),
        ("7", "column `answer` is empty"),
        ("8", "column `image`: row `99`, which is referred to, has no image"),
        ("9", "none of the columns `question`"),
    ];
    for (flaw, (line, reason)) in loaded.flaws.iter().zip(expected) {
        assert!(flaw.place.ends_with(&format!("MMMU_DEV_VAL.tsv:{line}")), "{flaw}");
        assert_eq!(flaw.reason, reason);
    }
    assert_eq!(loaded.flaws.len(), expected.len());
    assert!(!cut.is_empty());
}

#[test]
fn missing_columns_files_and_tasks() {
    let folder = Folder::new();
    let error = |task: &str| folder.try_load(task, Style::Paper).unwrap_err().to_string();
    assert!(error("chartqa").contains(
        "no files of chartqa; expected a folder `chartqa` with the files of lmms-lab/ChartQA"
    ));
    folder.write(
        "ChartQA_TEST.tsv",
        tsv(&["index", "image", "question"], &[&["1", &base64(1), "How?"]]),
    );
    assert!(
        error("chartqa").ends_with("ChartQA_TEST.tsv:2: no column `answer`"),
        "{}",
        error("chartqa")
    );
    folder.write("pope/test.jsonl", "{\"question\": 1\nno json\n");
    assert!(error("pope").contains("none of its 2 items can be asked; the first: "));
    assert!(error("poems").starts_with("no task `poems`; the tasks are mmmu, "));
    // Rows of another length than the heading.
    folder.write("POPE.tsv", "index\tquestion\n1\n");
    std::fs::remove_dir_all(folder.data.path().join("pope")).unwrap();
    assert!(error("pope").contains("POPE.tsv:2: "));
}
