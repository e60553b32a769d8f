//! The digits task on a small made table: the split, the records, the pictures.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use data::digits::{Bitmap, DigitTask, Operator, OperatorPlace, Paper, Thought, build, read_table};
use data::{Dataset, digits::DigitFiles};
use schema::{Content, Sample};

fn task() -> DigitTask {
    DigitTask {
        seed: 3,
        operators: vec![Operator::Plus, Operator::Minus, Operator::Times],
        num_digits: 2,
        max_digit: 9,
        tile: 28,
        operator_place: OperatorPlace::OwnTile,
        paper: Paper::Black,
        thought: Thought::Named,
        num_train: 40,
        num_held_out: 20,
        held_out_share: 0.25,
        skip: 0,
        presence: 0.0,
    }
}

/// Eight bitmaps of each digit, told apart by one pixel value; line 1 repeats line 0.
fn table() -> Vec<Bitmap> {
    let bitmap = |i: usize| Bitmap {
        pixels: vec![100 + u8::try_from(i.max(1)).expect("80 bitmaps"); 784],
        label: (i / 8) as u8,
    };
    (0..80).map(bitmap).collect()
}

fn column(sample: &Sample, name: &str) -> Vec<usize> {
    serde_json::from_value(sample.extra[name].clone()).expect("a list of numbers")
}

fn text(sample: &Sample, turn: usize) -> &str {
    match &sample.messages[turn].content {
        Content::Text(text) => text,
        Content::Parts(_) => panic!("the task writes text"),
    }
}

fn built(task: &DigitTask, folder: &Path) -> (DigitFiles, Dataset, Dataset) {
    let files = build(task, &table(), folder).expect("the task is built");
    let (train, held_out) = (
        Dataset::read(&files.train).expect("the file is sound"),
        Dataset::read(&files.held_out).expect("the file is sound"),
    );
    (files, train, held_out)
}

#[test]
fn no_bitmap_is_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let task = DigitTask { num_train: 300, num_held_out: 200, ..task() };
    let (files, train, held_out) = built(&task, folder.path());
    assert_eq!(
        (files.num_train_bitmaps, files.num_held_out_bitmaps),
        (59, 20),
        "line 1 repeats line 0"
    );
    let pixels = |dataset: &Dataset| -> HashSet<Vec<u8>> {
        let lines = dataset.samples.iter().flat_map(|s| column(s, "bitmaps"));
        lines.map(|line| table()[line].pixels.clone()).collect()
    };
    assert!(pixels(&train).is_disjoint(&pixels(&held_out)));
    assert_eq!((pixels(&train).len(), pixels(&held_out).len()), (59, 20), "all of them are used");
}

#[test]
fn records_say_what_the_pictures_show() {
    for num_digits in [2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let task = DigitTask { num_digits, ..task() };
        let (_, train, held_out) = built(&task, folder.path());
        assert_eq!((train.samples.len(), held_out.samples.len()), (40, 20));
        for sample in train.samples.iter().chain(&held_out.samples) {
            let (digits, lines) = (column(sample, "digits"), column(sample, "bitmaps"));
            assert!(
                lines
                    .iter()
                    .zip(&digits)
                    .all(|(&line, &digit)| table()[line].label as usize == digit)
            );
            assert_eq!(text(sample, 0), "Compute <image>");
            let answer = sample.answer.as_deref().unwrap();
            assert!(text(sample, 1).starts_with("<think>\nThe digits are "));
            assert!(
                text(sample, 1).ends_with(&format!(" = {answer}\n</think>\n\n\\boxed{{{answer}}}"))
            );
            let size = image::image_dimensions(folder.path().join(&sample.images[0])).unwrap();
            assert_eq!(size, (28 * (2 * num_digits as u32 - 1), 28));
        }
    }
}

#[test]
fn one_digit_is_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_, train, _) = built(&DigitTask { num_digits: 1, ..task() }, folder.path());
    for sample in &train.samples {
        let answer = sample.answer.as_deref().unwrap();
        let reply = format!("<think>\nThe digit is {answer}\n</think>\n\n\\boxed{{{answer}}}");
        assert_eq!(text(sample, 1), reply);
        let size = image::image_dimensions(folder.path().join(&sample.images[0])).unwrap();
        assert_eq!(size, (28, 28));
    }
}

#[test]
fn pictures_hold_the_bitmaps_and_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let (_, train, _) = built(&task(), folder.path());
    for sample in &train.samples {
        let picture = image::open(folder.path().join(&sample.images[0])).unwrap().to_luma8();
        let lines = column(sample, "bitmaps");
        for (x, line) in [(0, lines[0]), (56, lines[1])] {
            let value = table()[line].pixels[0];
            assert!((0..28).all(|i| picture.get_pixel(x + i, i).0[0] == value), "digit at {x}");
        }
        let middle: Vec<_> = (28..56).flat_map(|x| (0..28).map(move |y| (x, y))).collect();
        let ink = middle.iter().filter(|&&(x, y)| picture.get_pixel(x, y).0[0] > 128).count();
        assert!((30..200).contains(&ink), "{} pixels of ink: {}", ink, text(sample, 1));
    }
}

#[test]
fn layouts_and_paper() {
    let folder = tempfile::tempdir().unwrap();
    let task = DigitTask {
        operator_place: OperatorPlace::Margin,
        paper: Paper::White,
        tile: 56,
        ..task()
    };
    let (_, train, _) = built(&task, folder.path());
    let picture = image::open(folder.path().join(&train.samples[0].images[0])).unwrap().to_luma8();
    assert_eq!(picture.dimensions(), (112, 56));
    assert_eq!(picture.get_pixel(0, 0).0[0], 255, "the corner is paper");
    let value = table()[column(&train.samples[0], "bitmaps")[1]].pixels[0];
    assert_eq!(
        picture.get_pixel(56 + 14 + 20, 28).0[0],
        255 - value,
        "the second digit stands right of its operator"
    );
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let read = |task: &DigitTask| {
        let folder = tempfile::tempdir().unwrap();
        build(task, &table(), folder.path()).unwrap();
        let file = |name: &str| fs::read(folder.path().join(name)).unwrap();
        (file("train.jsonl"), file("held_out.jsonl"), file("images/train-00007.png"))
    };
    let first = read(&task());
    assert_eq!(first, read(&task()));
    assert_ne!(first, read(&DigitTask { seed: 4, ..task() }));
    let longer = read(&DigitTask { num_train: 60, ..task() });
    assert!(longer.0.starts_with(&first.0), "a sample does not depend on how many there are");
    assert_eq!(longer.1, first.1);
}

#[test]
fn what_another_data_set_has_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let columns = |name: &str, task: DigitTask| {
        let (_, train, held_out) = built(&task, &folder.path().join(name));
        let column = |sample: Sample| (sample.id, sample.extra["bitmaps"].clone());
        [train, held_out].map(|set| set.samples.into_iter().map(column).collect::<Vec<_>>())
    };
    let [train, held_out] = columns("all", task());
    let [later_train, later_held_out] =
        columns("later", DigitTask { num_train: 33, num_held_out: 13, skip: 7, ..task() });
    assert_eq!(later_train, train[7..]);
    assert_eq!(later_held_out, held_out[7..]);
}

#[test]
fn options_that_make_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (DigitTask { operators: vec![], ..task() }, "operators is empty, expected at least one"),
        (DigitTask { num_digits: 4, ..task() }, "num_digits is 4, expected 1 to 3"),
        (DigitTask { max_digit: 10, ..task() }, "max_digit is 10, expected 0 to 9"),
        (DigitTask { tile: 2000, ..task() }, "tile is 2000, expected 14 to 1024 pixels"),
        (
            DigitTask { skip: usize::MAX, ..task() },
            "skip is 18446744073709551615, expected at most 4294967296",
        ),
        (DigitTask { presence: 1.5, ..task() }, "presence is 1.5, expected 0 to 1"),
        (
            DigitTask { presence: 0.5, max_digit: 0, ..task() },
            "max_digit is 0, expected 1 to 9: a single digit is in every picture",
        ),
        (
            DigitTask { held_out_share: 1.0, ..task() },
            "held_out_share is 1, expected above 0 and below 1",
        ),
    ];
    for (task, message) in cases {
        assert_eq!(build(&task, &table(), folder.path()).unwrap_err().to_string(), message);
    }
    let few = build(&task(), &table()[..70], folder.path()).unwrap_err().to_string();
    assert_eq!(few, "max_digit is 9, expected digits with 2 bitmaps or more; 9 has 0");
}

#[test]
fn tables_in_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv.gz");
    let read = |text: &str| {
        let mut file = flate2::write::GzEncoder::new(
            fs::File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        file.write_all(text.as_bytes()).unwrap();
        file.finish().unwrap();
        read_table(&path).map_err(|e| e.to_string().replace(&path.display().to_string(), "TABLE"))
    };
    let row = |label: &str| format!("{}{label}\n", "0,255.0,".repeat(392));
    let table = read(&(row("7") + &row("0"))).unwrap();
    assert_eq!(
        (table.len(), table[0].label, table[0].pixels[1], table[1].pixels.len()),
        (2, 7, 255, 784)
    );
    let cases = [
        (row("10"), "line 1: the label is 10, expected 0 to 9"),
        (row("1") + "1,2\n", "found record with 2 fields"),
        ("1,2\n".to_owned(), "line 1: 2 columns, expected 784 pixels and a label"),
        (row("seven"), "line 1: \"seven\" is no whole number from 0 to 255"),
    ];
    for (text, message) in cases {
        let error = read(&text).unwrap_err();
        assert!(
            error.starts_with("TABLE: ") && error.contains(message),
            "{error:?} does not say {message:?}"
        );
    }
    fs::write(&path, b"not gzip").unwrap();
    assert!(read_table(&path).is_err());
}

#[test]
fn presence_questions_come_on_top() {
    let (without, with) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (plain, before, _) = built(&task(), without.path());
    let task = DigitTask { presence: 0.5, ..task() };
    let (files, train, held_out) = built(&task, with.path());
    assert_eq!((plain.probe, held_out.samples.len()), (None, 20));
    // What was there stays to the byte, pictures included.
    assert_eq!(train.samples[..40], before.samples);
    let picture = |folder: &Path| fs::read(folder.join("images/train-00007.png")).unwrap();
    assert_eq!(picture(without.path()), picture(with.path()));

    let probe = Dataset::read(files.probe.unwrap()).unwrap();
    assert_eq!((train.samples.len(), files.num_train, probe.samples.len()), (60, 60, 20));
    let mut num_absent = 0;
    for sample in train.samples[40..].iter().chain(&probe.samples) {
        let asked = sample.extra["asked"].as_u64().unwrap() as usize;
        let digits = column(sample, "digits");
        let answer = if digits.contains(&asked) { "yes" } else { "no" };
        assert_eq!(sample.answer.as_deref(), Some(answer));
        assert_eq!(text(sample, 0), format!("Is there a {asked}? <image>"));
        let [left, right] = digits[..] else { panic!("two digits") };
        let reply =
            format!("<think>\nThe digits are {left} and {right}\n</think>\n\n\\boxed{{{answer}}}");
        assert_eq!(text(sample, 1), reply);
        num_absent += usize::from(answer == "no");
    }
    assert_eq!(num_absent, 20);
    let lines = |samples: &[Sample]| -> HashSet<usize> {
        samples.iter().flat_map(|sample| column(sample, "bitmaps")).collect()
    };
    assert!(lines(&train.samples).is_disjoint(&lines(&probe.samples)));
}
