//! Hugging Face's parquet, written as its data sets are: images as structs of bytes and path, lists, snappy and zstd.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use benchmark::Style;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::fixture::{Folder, png, scores};

/// A column's values with their definition and repetition levels.
struct Column {
    values: Vec<ByteArray>,
    definitions: Vec<i16>,
    repetitions: Option<Vec<i16>>,
}

fn texts(values: &[&str]) -> Column {
    Column {
        values: values.iter().map(|value| ByteArray::from(*value)).collect(),
        definitions: vec![1; values.len()],
        repetitions: None,
    }
}

fn write(path: &Path, schema: &str, compression: Compression, columns: &[Column]) {
    std::fs::create_dir_all(path.parent().expect("it can be written")).expect("a folder");
    let schema = Arc::new(parse_message_type(schema).expect("it can be written"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let file = File::create(path).expect("it can be written");
    let mut writer =
        SerializedFileWriter::new(file, schema, properties).expect("it can be written");
    let mut group = writer.next_row_group().expect("it can be written");
    for column in columns {
        let mut next = group
            .next_column()
            .expect("it can be written")
            .expect("as many columns as the schema has");
        let repetitions = column.repetitions.as_deref();
        next.typed::<ByteArrayType>()
            .write_batch(&column.values, Some(&column.definitions), repetitions)
            .expect("it can be written");
        next.close().expect("it can be written");
    }
    group.close().expect("it can be written");
    writer.close().expect("it can be written");
}

#[test]
fn mmmu_as_published() {
    let folder = Folder::new();
    let schema = "message schema {
        optional binary id (UTF8);
        optional binary question (UTF8);
        optional binary options (UTF8);
        optional group image_1 { optional binary bytes; optional binary path (UTF8); }
        optional group image_2 { optional binary bytes; optional binary path (UTF8); }
        optional binary answer (UTF8);
    }";
    let nothing = || Column { values: vec![], definitions: vec![0, 0], repetitions: None };
    let image = Column {
        values: vec![png(1).into(), png(2).into()],
        definitions: vec![2, 2],
        repetitions: None,
    };
    for (compression, task) in
        [(Compression::SNAPPY, "Art"), (Compression::ZSTD(ZstdLevel::default()), "Math")]
    {
        let ids = [format!("validation_{task}_1"), format!("validation_{task}_2")];
        write(
            &folder.data.path().join(format!("mmmu/{task}/validation-00000-of-00001.parquet")),
            schema,
            compression,
            &[
                texts(&[&ids[0], &ids[1]]),
                texts(&["What is <image 1>?", "How long is <image 1>?"]),
                texts(&["['a dog', \"a cat's\"]", "[]"]),
                Column {
                    values: image.values.clone(),
                    definitions: image.definitions.clone(),
                    repetitions: None,
                },
                Column {
                    values: vec!["1.png".into(), "2.png".into()],
                    definitions: vec![2, 2],
                    repetitions: None,
                },
                nothing(),
                nothing(),
                texts(&["B", "3.5"]),
            ],
        );
    }
    // The splits that are not asked.
    folder.write("mmmu/Art/dev-00000-of-00001.parquet", "not read");
    let items = folder.items("mmmu", Style::Paper);
    let of =
        |at: usize| (items[at].subject.as_str(), items[at].gold.as_str(), items[at].images.len());
    assert_eq!((items.len(), of(0), of(3)), (4, ("Art", "B. a cat's", 1), ("Math", "3.5", 1)));
    assert_eq!(scores(&items[0], "\\boxed{B}"), (1.0, 1.0, Some(1.0)));
    assert_eq!(scores(&items[1], "\\boxed{3.50}").0, 1.0);
}

#[test]
fn lists_and_plain_bytes() {
    let folder = Folder::new();
    let schema = "message schema {
        optional binary question (UTF8);
        optional group options (LIST) { repeated group list { optional binary element (UTF8); } }
        optional binary answer;
        optional group image { optional binary bytes; optional binary path (UTF8); }
    }";
    write(
        &folder.data.path().join("ai2d/test-00000-of-00001.parquet"),
        schema,
        Compression::SNAPPY,
        &[
            texts(&["Which part?"]),
            Column {
                values: ["root", "leaf", "stem"].map(ByteArray::from).to_vec(),
                definitions: vec![3, 3, 3],
                repetitions: Some(vec![0, 1, 1]),
            },
            texts(&["2"]),
            Column { values: vec![png(9).into()], definitions: vec![2], repetitions: None },
            Column { values: vec![], definitions: vec![1], repetitions: None },
        ],
    );
    let items = folder.items("ai2d", Style::Paper);
    assert_eq!(items[0].gold, "C. stem");
    let broken = folder.write("ai2d/test-00000-of-00001.parquet", "PAR1 and no more");
    let error = folder.try_load("ai2d", Style::Paper).unwrap_err().to_string();
    assert!(error.starts_with(&broken.display().to_string()), "{error}");
}
