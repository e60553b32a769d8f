//! Files written by gguf-py (`golden/make.py`) read back: every block format, value type and name.

use std::path::{Path, PathBuf};

use gguf::{Error, Gguf, TokenType, Value};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn every_block_format_equals_gguf_py_bit_for_bit() {
    let expected = std::fs::read(golden("blocks.f32")).unwrap();
    let mut expected = expected.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()));
    let file = Gguf::open(golden("blocks.gguf")).unwrap();
    assert_eq!(file.tensors().len(), 11);
    for tensor in file.tensors() {
        assert_eq!(tensor.block_type.name(), tensor.name);
        let (shape, weights) = file.read(&tensor.name).unwrap();
        assert_eq!(shape, [2, 3 * tensor.block_type.block_len()]);
        for (i, weight) in weights.iter().enumerate() {
            let want = expected.next().unwrap();
            assert_eq!(
                weight.to_bits(),
                want,
                "{} weight {i}: {weight} {}",
                tensor.name,
                f32::from_bits(want)
            );
        }
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn values_of_every_type() {
    let file = Gguf::open(golden("llama.gguf")).unwrap();
    let get = |key: &str| file.metadata(&format!("test.{key}")).unwrap();
    for bits in ["8", "16", "32", "64"] {
        assert_eq!(get(&format!("uint{bits}")).as_u32(), Some(100), "uint{bits}");
        assert_eq!(get(&format!("int{bits}")).as_u32(), None, "int{bits} is negative");
    }
    assert_eq!(*get("int16"), Value::I16(-100));
    assert_eq!(get("float32").as_f32(), Some(0.5));
    assert_eq!(get("float64").as_f32(), Some(0.25));
    assert_eq!(get("bool").as_bool(), Some(true));
    assert_eq!(get("floats").as_floats(), Some(&[0.5, -1.5][..]));
    assert_eq!(get("bools").type_name(), "an array of booleans");
    assert_eq!(file.architecture().unwrap(), "llama");
    assert_eq!(file.u32("llama.attention.head_count").unwrap(), 4);
    assert!(matches!(file.u32("test.bool"), Err(Error::WrongType { found: "a boolean", .. })));
    assert!(matches!(file.f32("test.none"), Err(Error::MissingKey { .. })));
}

#[test]
fn tokenizer_tables() {
    let file = Gguf::open(golden("llama.gguf")).unwrap();
    let tables = file.tokenizer().unwrap();
    assert_eq!((tables.model, tables.pre), ("gpt2", Some("smollm")));
    assert_eq!(tables.tokens, ["<|im_start|>", "a", "b", "ab", "ä"]);
    let types = tables.token_types.unwrap();
    assert_eq!(
        (types[0], types[1], types[4]),
        (TokenType::Control, TokenType::Normal, TokenType::UserDefined)
    );
    assert_eq!(tables.merges, ["a b"]);
    assert_eq!(
        (tables.bos_token_id, tables.eos_token_id, tables.padding_token_id),
        (Some(0), None, None)
    );
    assert_eq!(tables.chat_template, Some("{{ messages }}"));
    let none = Gguf::open(golden("blocks.gguf")).unwrap();
    assert!(matches!(none.tokenizer(), Err(Error::MissingKey { .. })));
}

#[test]
fn llama_rows_return_to_hugging_face_order() {
    let file = Gguf::open(golden("llama.gguf")).unwrap();
    let cases =
        [("q_proj.weight", vec![24, 2]), ("k_proj.weight", vec![12, 2]), ("q_proj.bias", vec![24])];
    for (name, want_shape) in cases {
        let (shape, weights) = file.read_hf(&format!("model.layers.0.self_attn.{name}")).unwrap();
        assert_eq!(shape, want_shape, "{name}");
        assert!(
            weights.iter().enumerate().all(|(i, &w)| w == i as f32),
            "{name} is out of order: {weights:?}"
        );
    }
    let names: Vec<_> = file.hf_tensors().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "rope_freqs has no parameter: {names:?}");
    assert_ne!(
        file.read("blk.0.attn_q.weight").unwrap().1[2],
        2.0,
        "the file's own order is permuted"
    );
    assert!(matches!(file.read_hf("lm_head.weight"), Err(Error::MissingTensor { .. })));
}
