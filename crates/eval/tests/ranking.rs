//! Benchmarks of reward models as they are published: parquet with lists, and images as structs of bytes and path.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use eval::{Benchmark, read_benchmark};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use schema::{Content, Part};

type Group<'a> = SerializedRowGroupWriter<'a, File>;

/// A column of two rows; of a list with two entries a row.
fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], level: i16) {
    let (levels, repetitions) = (vec![level; values.len()], [0, 1, 0, 1]);
    let repetitions = (values.len() == 4).then_some(&repetitions[..]);
    let mut next =
        group.next_column().expect("a parquet file").expect("as many columns as the schema has");
    next.typed::<T>().write_batch(values, Some(&levels), repetitions).expect("a parquet file");
    next.close().expect("a parquet file");
}

fn texts(group: &mut Group<'_>, values: &[&str], level: i16) {
    let values: Vec<ByteArray> = values.iter().map(|&value| ByteArray::from(value)).collect();
    column::<ByteArrayType>(group, &values, level);
}

fn write(path: &Path, schema: &str, columns: impl FnOnce(&mut Group<'_>)) {
    let (file, schema) = (
        File::create(path).expect("a parquet file"),
        parse_message_type(schema).expect("a parquet file"),
    );
    let mut writer =
        SerializedFileWriter::new(file, Arc::new(schema), Arc::default()).expect("a parquet file");
    let mut group = writer.next_row_group().expect("a parquet file");
    columns(&mut group);
    group.close().expect("a parquet file");
    writer.close().expect("a parquet file");
}

#[test]
fn vl_reward_bench_as_published() {
    let folder = tempfile::tempdir().expect("a parquet file");
    let path = folder.path().join("test-00000-of-00001.parquet");
    let schema = "message schema {
        optional binary id (UTF8);
        optional binary query (UTF8);
        optional group response (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group image { optional binary bytes; optional binary path (UTF8); }
        optional group human_ranking (LIST) { repeated group list { optional int64 element; } }
        optional binary query_source (UTF8);
    }";
    let image = [0xFF, 0xD8, 0xFF, 0x00];
    write(&path, schema, |group| {
        texts(group, &["RLAIF-V-1", "mathverse_7"], 1);
        texts(group, &["What is there?", "How long?"], 1);
        texts(group, &["a dog", "a cat", "2", "3"], 3);
        column::<ByteArrayType>(group, &[image.to_vec().into(), image.to_vec().into()], 2);
        texts(group, &["1.jpg", "2.jpg"], 2);
        column::<Int64Type>(group, &[1, 0, 0, 1], 3);
        texts(group, &["RLAIF-V-Dataset", "MathVerse"], 1);
    });
    let items = read_benchmark(Benchmark::VlRewardBench, &path).unwrap();
    let of: Vec<_> = items.iter().map(|i| (i.category.as_str(), i.preferred.as_str())).collect();
    assert_eq!(of, [("hallucination", "a cat"), ("reasoning", "2")]);
    let Content::Parts(parts) = &items[1].prompt.messages[0].content else { panic!("parts") };
    let Part::Image { image: Some(image) } = &parts[0] else { panic!("an image") };
    assert_eq!(image, "data:image/jpeg;base64,/9j/AA==");
    assert!(items[1].place.ends_with("test-00000-of-00001.parquet:2"), "{}", items[1].place);
}

#[test]
fn reward_bench_as_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filtered-00000-of-00001.parquet");
    let schema = "message schema {
        optional binary prompt (UTF8); optional binary chosen (UTF8); optional binary rejected (UTF8);
        optional binary subset (UTF8); optional int64 id;
    }";
    let rows = |subset: &'static str| {
        move |group: &mut Group<'_>| {
            texts(group, &["Q?", "R?"], 1);
            texts(group, &["good", "right"], 1);
            texts(group, &["bad", "wrong"], 1);
            texts(group, &["alpacaeval-easy", subset], 1);
            column::<Int64Type>(group, &[3, 4], 1);
        }
    };
    write(&path, schema, rows("math-prm"));
    let items = read_benchmark(Benchmark::RewardBench, &path).unwrap();
    let of: Vec<_> = items.iter().map(|i| (i.id.as_str(), i.category.as_str())).collect();
    assert_eq!(of, [("3", "Chat"), ("4", "Reasoning")]);
    write(&path, schema, rows("poems"));
    let error = read_benchmark(Benchmark::RewardBench, &path).unwrap_err().to_string();
    assert!(error.ends_with(".parquet:2: the benchmark has no subset \"poems\""), "{error}");
    std::fs::write(&path, "PAR1 and no more").unwrap();
    let error = read_benchmark(Benchmark::RewardBench, &path).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}
