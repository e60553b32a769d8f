//! Ids equal a plain byte-pair encoder's; tokenizers stored in other ways read the same.

use std::path::Path;

use crate::common::{golden_json, text};
use preprocess::{LanguageFiles, Tokenizer, add_special_tokens};
use serde_json::{Value, json};

const STRING: u32 = 8;

/// A GGUF file with metadata alone.
struct GgufFile {
    bytes: Vec<u8>,
    num_keys: u64,
}

impl GgufFile {
    fn new() -> Self {
        Self { bytes: Vec::new(), num_keys: 0 }
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.string(key);
        self.bytes.extend(kind.to_le_bytes());
        self.num_keys += 1;
    }

    fn string(&mut self, text: &str) {
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key, STRING);
        self.string(text);
    }

    fn number(&mut self, key: &str, number: u32) {
        self.key(key, 4);
        self.bytes.extend(number.to_le_bytes());
    }

    fn array(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, 9);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }

    fn texts(&mut self, key: &str, texts: &Value) {
        let texts = texts.as_array().unwrap();
        self.array(key, STRING, texts.len());
        texts.iter().for_each(|item| self.string(text(item)));
    }

    fn numbers(&mut self, key: &str, numbers: &Value) {
        let numbers = numbers.as_array().unwrap();
        self.array(key, 5, numbers.len());
        self.bytes.extend(numbers.iter().flat_map(|n| (n.as_i64().unwrap() as i32).to_le_bytes()));
    }

    fn save(&self, path: &Path) {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.extend(self.num_keys.to_le_bytes());
        file.extend(&self.bytes);
        std::fs::write(path, file).unwrap();
    }
}

/// The golden vocabulary as a GGUF file with the split rule `pre`.
fn save_gguf(golden: &Value, model: &str, pre: &str, path: &Path) {
    let mut gguf = GgufFile::new();
    gguf.text("general.architecture", "llama");
    gguf.number("llama.context_length", 512);
    gguf.text("tokenizer.ggml.model", model);
    gguf.text("tokenizer.ggml.pre", pre);
    gguf.texts("tokenizer.ggml.tokens", &golden["tokens"]);
    gguf.numbers("tokenizer.ggml.token_type", &golden["types"]);
    gguf.texts("tokenizer.ggml.merges", &golden["merges"]);
    gguf.number("tokenizer.ggml.bos_token_id", 330);
    gguf.number("tokenizer.ggml.eos_token_id", 331);
    gguf.number("tokenizer.ggml.eot_token_id", 330);
    gguf.text("tokenizer.chat_template", "{{ messages[0].content }}<|im_end|>\n");
    gguf.save(path);
}

fn check_ids(tokenizer: &Tokenizer, golden: &Value, pre: &str) {
    let texts = golden["texts"].as_array().unwrap().iter().map(text);
    for (text, expected) in texts.zip(golden["ids"][pre].as_array().unwrap()) {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(json!(ids), *expected, "{pre} {text:?}");
        let spelled = tokenizer.decode_with_special(&ids).unwrap();
        if pre != "qwen2" {
            assert_eq!(spelled, text);
        }
        check_stream(tokenizer, &ids);
    }
}

/// The pieces of a stream together are the text, and no piece ends in half a character that the next completes.
fn check_stream(tokenizer: &Tokenizer, ids: &[u32]) {
    let mut stream = tokenizer.stream();
    let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
    pieces.push(stream.finish().unwrap());
    assert_eq!(pieces.concat(), tokenizer.decode(ids).unwrap());
}

#[test]
fn a_tokenizer_in_gguf_metadata_gives_the_reference_ids() {
    let golden = golden_json("tokenizers.json");
    let folder = tempfile::tempdir().unwrap();
    for pre in ["gpt-2", "smollm", "qwen2", "llama-bpe", "default"] {
        let path = folder.path().join("model.gguf");
        save_gguf(&golden, "gpt2", pre, &path);
        let files = LanguageFiles::load(&path).unwrap();
        assert_eq!(files, LanguageFiles::load(folder.path()).unwrap(), "a folder with one GGUF");
        let tokenizer = Tokenizer::from_json(&files.tokenizer).unwrap();
        check_ids(&tokenizer, &golden, pre);
        assert_eq!(tokenizer.vocab_size(), 334);
        assert_eq!(files.context_length, Some(512));
        assert_eq!(files.stop_ids(&tokenizer), [330, 331]);
        assert_eq!(files.chat_template.as_deref(), Some("{{ messages[0].content }}<|im_end|>\n"));
        let special = files.special_tokens();
        assert!(
            special.contains(&("eos_token".to_owned(), "<|im_end|>".to_owned())),
            "{special:?}"
        );
        assert!(tokenizer.is_special(331) && !tokenizer.is_special(332), "<think> is text");
    }
}

#[test]
fn what_a_gguf_holds_reads_back_after_saving() {
    let golden = golden_json("tokenizers.json");
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    save_gguf(&golden, "gpt2", "qwen2", &from.path().join("model.gguf"));
    let files = LanguageFiles::load(from.path()).unwrap();
    files.save(to.path()).unwrap();
    let config = r#"{"llm_config": {"max_position_embeddings": 512}}"#;
    std::fs::write(to.path().join("config.json"), config).unwrap();
    assert_eq!(LanguageFiles::load(to.path()).unwrap(), files);
}

#[test]
fn unsupported_tokenizers_are_named() {
    let golden = golden_json("tokenizers.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for (model, pre, expected) in [
        ("llama", "default", "tokenizer.ggml.model is \"llama\"; supported: gpt2"),
        ("gpt2", "unheard-of", "tokenizer.ggml.pre is \"unheard-of\"; supported: gpt-2, smollm"),
    ] {
        save_gguf(&golden, model, pre, &path);
        let error = LanguageFiles::load(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::copy(&path, folder.path().join("other.gguf")).unwrap();
    let error = LanguageFiles::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("2 GGUF files"), "{error}");
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(folder.path().join("other.gguf")).unwrap();
    let error = LanguageFiles::load(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("has no tokenizer.json"), "{error}");
}

#[test]
fn a_folder_with_vocab_and_merges_gives_the_reference_ids() {
    let golden = golden_json("tokenizers.json");
    let tokens = golden["tokens"].as_array().unwrap();
    let vocab: serde_json::Map<_, _> = tokens[..330]
        .iter()
        .enumerate()
        .map(|(id, token)| (text(token).to_owned(), id.into()))
        .collect();
    let merges: Vec<&str> = golden["merges"].as_array().unwrap().iter().map(text).collect();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("vocab.json", Value::Object(vocab).to_string());
    write("merges.txt", format!("#version: 0.2\n{}\n", merges.join("\n")));
    write("added_tokens.json", json!({"</think>": 333, "<think>": 332}).to_string());
    let listed = json!({"331": {"content": "<|im_end|>"}, "330": {"content": "<|im_start|>"}});
    let config = json!({"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": listed});
    write("tokenizer_config.json", config.to_string());
    let files = LanguageFiles::load(folder.path()).unwrap();
    let tokenizer = Tokenizer::from_json(&files.tokenizer).unwrap();
    for (text, expected) in
        golden["texts"].as_array().unwrap().iter().zip(golden["ids"]["qwen2"].as_array().unwrap())
    {
        assert_eq!(json!(tokenizer.encode(text.as_str().unwrap()).unwrap()), *expected);
    }
}

#[test]
fn added_tokens_get_the_next_ids_and_known_ones_keep_theirs() {
    let mut json = golden_json("internvl-six-b/tokenizer.json");
    let tokens = ["<img>", "<new>", "</img>", "<newer>"];
    assert_eq!(add_special_tokens(&mut json, &tokens).unwrap(), [425, 428, 426, 429]);
    let tokenizer = Tokenizer::from_json(&json).unwrap();
    assert_eq!(tokenizer.encode("<newer><img><new>").unwrap(), [429, 425, 428]);
    assert_eq!(tokenizer.decode(&[429, 425]).unwrap(), "");
    assert_eq!(tokenizer.added_tokens().last(), Some(&(429, "<newer>".to_owned())));
    let error = tokenizer.require("<quad>", "opens a quad").unwrap_err().to_string();
    assert_eq!(error, "the tokenizer has no token \"<quad>\", which opens a quad");
    let error = add_special_tokens(&mut json!({}), &["<img>"]).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer: "), "{error}");
}

#[test]
fn a_stream_holds_back_half_a_character() {
    let tokenizer = Tokenizer::from_json(&golden_json("internvl-six-b/tokenizer.json")).unwrap();
    let ids = tokenizer.encode("a🙂").unwrap();
    assert_eq!(ids.len(), 5, "one id for each byte");
    let mut stream = tokenizer.stream();
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(pieces, ["a", "", "", "", "🙂"]);
    let mut cut = tokenizer.stream();
    for &id in &ids[..3] {
        cut.push(id).unwrap();
    }
    assert_eq!(cut.finish().unwrap(), "\u{fffd}");
}

/// A tokenizer that falls back to bytes, as those of Llama 2 do.
fn with_bytes() -> Tokenizer {
    let tokens = ["<unk>", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>", "\u{2581}a", "b", "</s>"];
    let ids = tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into()));
    let vocab: serde_json::Map<_, _> = ids.collect();
    let end = json!({
        "id": 7, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    });
    let decoders = json!([
        { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
        { "type": "ByteFallback" },
        { "type": "Fuse" },
        { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
    ]);
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [end],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" },
    });
    Tokenizer::from_json(&json).unwrap()
}

/// A byte that does not go with those before it takes their characters back: `\n` becomes a replacement character.
#[test]
fn bytes_are_held_back_until_none_can_follow() {
    let tokenizer = with_bytes();
    let mut stream = tokenizer.stream();
    let mut push = |id| (stream.push(id).unwrap(), stream.held().to_owned());
    let pair = |told: &str, held: &str| (told.to_owned(), held.to_owned());
    assert_eq!(push(6), pair("b", ""));
    assert_eq!(push(1), pair("", "\n"));
    assert_eq!(push(7), pair("", "\n"), "a special token comes between no bytes");
    assert_eq!(push(2), pair("", ""));
    assert_eq!(push(6), pair("\u{fffd}\u{fffd}b", ""));
    let all = |id: u32| (0..5).map(move |place| id / 7_u32.pow(place) % 7 + 1);
    for number in 0..7_u32.pow(5) {
        let ids: Vec<u32> = all(number).collect();
        let mut stream = tokenizer.stream();
        let mut said: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        said.push_str(&stream.finish().unwrap());
        assert_eq!(said, tokenizer.decode(&ids).unwrap(), "{ids:?}");
    }
}

#[test]
fn a_text_has_no_fewer_tokens_than_the_longest_allows() {
    let tokenizer = with_bytes();
    assert_eq!([0, 6, 7, 60].map(|num_bytes| tokenizer.least_tokens(num_bytes)), [0, 1, 2, 10]);
    let golden = Tokenizer::from_json(&golden_json("internvl-six-b/tokenizer.json")).unwrap();
    let text = "because ".repeat(50);
    assert!(golden.least_tokens(text.len()) <= golden.encode(&text).unwrap().len());
}

/// The golden tokenizer lists them as special; without them no completion would have its form.
#[test]
fn marks_of_a_thought_are_text() {
    let tokenizer = Tokenizer::from_json(&golden_json("internvl-six-b/tokenizer.json")).unwrap();
    let text = "<think>\n3\n</think>\n\n3";
    let ids = tokenizer.encode(&format!("<|im_start|>{text}<|im_end|>")).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
}
