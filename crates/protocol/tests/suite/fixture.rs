//! Models that say what they are told to, and a benchmark of four questions.

use std::path::Path;

use benchmark::{FrameSource, ImageStore, Loaded, Reading, Style, find_tasks};
use judge::{Decoding, Done, Failure, Request, Respond, Response};
use protocol::{Scheme, Settings};
use schema::Content;
use serde_json::json;

/// A model that answers by the first of its rules whose words occur in the prompt.
pub(crate) struct Scripted {
    pub(crate) rules: Vec<(&'static str, &'static str)>,
    /// Requests that reached it.
    pub(crate) num_asked: usize,
    /// Seeds of these.
    pub(crate) seeds: Vec<u64>,
}

impl Scripted {
    pub(crate) fn new(rules: &[(&'static str, &'static str)]) -> Self {
        Self { rules: rules.to_vec(), num_asked: 0, seeds: Vec::new() }
    }
}

impl Respond for Scripted {
    fn identity(&self) -> String {
        "scripted".to_owned()
    }

    fn respond(&mut self, requests: &[Request<'_>], done: &mut Done<'_>) {
        for (index, request) in requests.iter().enumerate() {
            self.num_asked += 1;
            self.seeds.push(request.decoding.seed);
            let text: String = request.prompt.messages.iter().map(|m| text(&m.content)).collect();
            let rule = self.rules.iter().find(|(words, _)| text.contains(words));
            done(
                index,
                match rule {
                    Some((_, "fail")) => {
                        Err(Failure::Failed { reason: "the line is down".to_owned() })
                    }
                    Some((_, said)) => Ok(Response {
                        text: (*said).to_owned(),
                        model: "scripted-1".to_owned(),
                        completion_tokens: said.len() as u64,
                        ..Response::default()
                    }),
                    None => panic!("no rule for {text}"),
                },
            );
        }
    }
}

fn text(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => format!("{parts:?}"),
    }
}

/// Settings of two runs at temperature 1.
pub(crate) fn settings() -> Settings {
    let decoding = Decoding { temperature: 1.0, ..Decoding::greedy(64, 42) };
    Settings {
        num_runs: 2,
        decoding,
        prompts: Style::Paper,
        scoring: Scheme::Strict,
        opens_thought: false,
        judge: Some(Decoding::greedy(64, 7)),
    }
}

/// One conversation of two turns about a lamp.
pub(crate) fn lamp(folder: &Path) -> Loaded {
    let write = |name: &str, text: String| {
        let path = folder.join("bfcl").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let class = "class LampAPI:\n    on = False\n    def switch(self, on):\n        self.on = on\n        return f'on={on}'\n";
    write("func_source_code/lamp.py", class.to_owned());
    let function =
        json!({"name": "switch", "description": "Switches.", "parameters": {"properties": {}}});
    write("multi_turn_func_doc/lamp.json", function.to_string());
    let said = |text: &str| json!([{"role": "user", "content": text}]);
    let row = json!({"id": "multi_turn_base_0", "question": [said("Light on!"), said("Light off!")],
        "initial_config": {}, "involved_classes": ["LampAPI"]});
    write("BFCL_v3_multi_turn_base.json", row.to_string());
    let truth = json!({"id": "multi_turn_base_0", "ground_truth": [["switch(on=True)"], ["switch(on=False)"]]});
    write("possible_answer/BFCL_v3_multi_turn_base.json", truth.to_string());
    load("bfcl", folder)
}

/// GPQA-like questions `one` to `four`, and a row that cannot be asked.
pub(crate) fn gpqa(folder: &Path) -> Loaded {
    let line = |name: &str| format!("Question {name}?,right,wrong1,wrong2,wrong3,{name},Physics\n");
    let rows: String = ["one", "two", "three", "four"].map(line).concat();
    let heading = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,Record ID,High-level domain\n";
    std::fs::create_dir_all(folder.join("gpqa")).expect("a folder");
    let table = format!("{heading}{rows}Question five?,right,,wrong2,wrong3,five,Physics\n");
    std::fs::write(folder.join("gpqa/gpqa_diamond.csv"), table).expect("a file");
    load("gpqa", folder)
}

fn load(task: &str, folder: &Path) -> Loaded {
    let mut images = ImageStore::new(&folder.join("images")).expect("a store");
    let frames =
        FrameSource { num_frames: 1, folder: folder.join("frames"), ffmpeg: "ffmpeg".into() };
    let mut reading = Reading::new(Style::Paper, &mut images, &frames, 42);
    find_tasks(task).expect("a task")[0].load(folder, &mut reading, None).expect("questions")
}
