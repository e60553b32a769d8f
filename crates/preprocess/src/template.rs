//! Chat templates: a conversation becomes the text the model was trained on.
//!
//! Jinja as transformers runs it: blocks trimmed, Python's string methods, `raise_exception`, `strftime_now`, `tojson`
//! and the `generation` block.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, context};
use schema::Role;

use crate::calendar;
use crate::conversation::{IMAGE_TAG, Turn};
use crate::error::{Error, Result};
use crate::json::to_json;

const NAME: &str = "chat template";

/// A compiled chat template with the special tokens it may print.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: Value,
}

impl ChatTemplate {
    /// Compiles `source`. `special_tokens` holds variables such as `bos_token` and `eos_token`; `now` is the time that
    /// `strftime_now` tells, in seconds since 1970 (UTC).
    ///
    /// # Errors
    ///
    /// When the template does not parse.
    pub fn new(source: &str, special_tokens: &[(String, String)], now: u64) -> Result<Self> {
        let mut environment = environment(now)?;
        environment.add_template_owned(NAME, without_generation_blocks(source))?;
        Ok(Self {
            environment,
            source: source.to_owned(),
            special_tokens: Value::from_pairs(special_tokens.to_vec()),
        })
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a whole conversation.
    ///
    /// # Errors
    ///
    /// When the template refuses the conversation or fails.
    pub fn render(&self, turns: &[Turn]) -> Result<String> {
        self.run(turns, false)
    }

    /// The text of a conversation up to where the model's answer begins.
    ///
    /// # Errors
    ///
    /// When the template refuses the conversation or fails.
    pub fn render_prompt(&self, turns: &[Turn]) -> Result<String> {
        self.run(turns, true)
    }

    /// Checks that a user's text, and so the place of an image in it, survives rendering.
    ///
    /// # Errors
    ///
    /// When the template fails on a lone user turn or does not print its image tag once.
    pub fn check_image_slot(&self) -> Result<()> {
        let turn = Turn { role: Role::User, text: format!("{IMAGE_TAG}\nWhat is it?") };
        let num_tags = self.render_prompt(&[turn])?.matches(IMAGE_TAG).count();
        if num_tags == 1 {
            return Ok(());
        }
        let reason = format!("it renders the {IMAGE_TAG} of a user's turn {num_tags} times");
        Err(Error::Template { reason })
    }

    fn run(&self, turns: &[Turn], add_generation_prompt: bool) -> Result<String> {
        let messages: Vec<Value> = turns
            .iter()
            .map(|turn| context! { role => turn.role.as_str(), content => turn.text.as_str() })
            .collect();
        let template = self.environment.get_template(NAME)?;
        let variables = context! {
            messages,
            add_generation_prompt,
            tools => (),
            documents => (),
            ..self.special_tokens.clone()
        };
        Ok(template.render(variables)?)
    }
}

fn environment(now: u64) -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: &str| calendar::format(now, format));
    // Here `none` counts as an empty list; in Python it is no list, and templates ask this of `tools`.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_filter("tojson", |value: Value, options: Kwargs| {
        let indent: Option<usize> = options.get("indent")?;
        options.get::<Option<bool>>("ensure_ascii")?;
        options.assert_all_used()?;
        to_json(&value, indent)
            .map_err(|e| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string()))
    });
    Ok(environment)
}

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// `{% generation %}` marks the assistant's text for a tool that we do not need; it prints what it holds.
fn without_generation_blocks(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (tag, after) = rest[start..].split_at(length);
        plain.push_str(&rest[..start]);
        match tag.trim_matches(['{', '%', '-', '+']).trim() {
            "generation" => plain.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => plain.push_str(&tag.replace("endgeneration", "endif")),
            _ => plain.push_str(tag),
        }
        rest = after;
    }
    plain + rest
}
