//! Conversations as they are sent.

use serde_json::json;

#[test]
fn an_image_stands_where_its_tag_stood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), b"\x89PNG").unwrap();
    std::fs::write(folder.path().join("b.jpg"), b"\xFF\xD8").unwrap();
    let sample = json!({
        "messages": [
            { "role": "system", "content": "Be\nright." },
            { "role": "user", "content": "First <image>\nthen <image>" },
            { "role": "assistant", "content": [{ "type": "text", "text": "Seen." }] },
            { "role": "user", "content": [
                { "type": "image", "image": "a.png" },
                { "type": "image_url", "image_url": { "url": "data:,c" } },
            ]},
        ],
        "images": ["a.png", "b.jpg"],
    });
    let messages =
        openai::messages(&serde_json::from_value(sample).unwrap(), folder.path()).unwrap();
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let (png, jpeg) =
        (image("data:image/png;base64,iVBORw=="), image("data:image/jpeg;base64,/9g="));
    let text = |text: &str| json!({ "type": "text", "text": text });
    let want = json!([
        { "role": "system", "content": "Be\nright." },
        { "role": "user", "content": [text("First "), png, text("then "), jpeg] },
        { "role": "assistant", "content": "Seen." },
        { "role": "user", "content": [png, image("data:,c")] },
    ]);
    assert_eq!(serde_json::to_value(&messages).unwrap(), want);
}

#[test]
fn a_missing_image_is_an_error_that_names_it() {
    let sample =
        json!({ "messages": [{ "role": "user", "content": "<image>" }], "images": ["no.png"] });
    let sample = serde_json::from_value(sample).unwrap();
    let error = openai::messages(&sample, "somewhere".as_ref()).unwrap_err();
    assert!(error.to_string().starts_with("somewhere/no.png: ") && !error.is_final());
}

#[test]
fn what_is_no_image_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secrets"), "password = 7").unwrap();
    let error = openai::data_url("secrets", folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("secrets: not a PNG, JPEG, WebP, GIF or BMP image"), "{error}");
}
