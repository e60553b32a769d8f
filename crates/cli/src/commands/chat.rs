//! `sightline chat`: a conversation about images, its answers as they are drawn.

use std::io::{BufRead, IsTerminal};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use preprocess::Processor;
use reward::Opening;
use rollout::{GenerateConfig, Heard, generate_heard};
use schema::{Completion, Content, Message, Role, Sample};

use super::generate::generate_config;
use crate::Context;
use crate::args::ChatArgs;
use crate::failure::usage;
use crate::loaded::Loaded;

/// Before a line that a person types.
const INVITATION: &str = "> ";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Question(&'a str),
    Image(&'a str),
    New,
    Quit,
    /// Nothing, or a command that there is none of.
    Unknown(&'a str),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let line = line.trim();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("/image", path) if !path.trim().is_empty() => Self::Image(path.trim()),
            ("/new", "") => Self::New,
            ("/quit" | "/exit", "") => Self::Quit,
            _ if line.is_empty() || line.starts_with('/') => Self::Unknown(line),
            _ => Self::Question(line),
        }
    }
}

/// Talks until the input ends.
pub(crate) fn run(args: &ChatArgs, context: &Context) -> Result<()> {
    let processor = Processor::load(&args.model.model)?;
    let config = generate_config(&args.sampling, &processor)?;
    if config.num_samples != 1 {
        return Err(usage(anyhow!("--num-samples: a conversation has one answer to a question")));
    }
    let model = Loaded::open(&args.model, &context.progress)?;
    let mut chat =
        Chat { context, processor, config, model, said: Sample::default(), num_asked: 0 };
    let is_typed = std::io::stdin().is_terminal();
    let invite = || if is_typed { context.output.stream(INVITATION) } else { Ok(()) };
    invite()?;
    let mut images = Vec::new();
    for line in std::io::stdin().lock().lines() {
        match Line::parse(&line.context("standard input")?) {
            Line::Question(question) => chat.ask(question, std::mem::take(&mut images))?,
            Line::Image(path) => images.extend(chat.checked(path)),
            Line::New => chat.said = Sample::default(),
            Line::Quit => break,
            Line::Unknown("") => {}
            Line::Unknown(line) => {
                context.progress.warn(&format!("{line}: there are /image PATH, /new and /quit"));
            }
        }
        invite()?;
    }
    Ok(())
}

/// A conversation under way.
struct Chat<'a> {
    context: &'a Context,
    processor: Processor,
    config: GenerateConfig,
    model: Loaded,
    /// All turns so far.
    said: Sample,
    /// Questions so far, which name their draws.
    num_asked: u64,
}

impl Chat<'_> {
    /// The image if it can be read; else its user is told, and the conversation goes on.
    fn checked(&self, path: &str) -> Option<String> {
        match self.processor.image(path, Path::new("")) {
            Ok(_) => Some(path.to_owned()),
            Err(error) => {
                self.context.progress.warn(&error.to_string());
                None
            }
        }
    }

    /// Asks, shows the answer, and remembers both; a question that cannot be asked is forgotten.
    fn ask(&mut self, question: &str, images: Vec<String>) -> Result<()> {
        let before = self.said.clone();
        let content = Content::Text(format!("{}{question}", "<image>\n".repeat(images.len())));
        self.said.messages.push(Message { role: Role::User, content });
        self.said.images.extend(images);
        let answered = self.answer();
        if let Err(error) = answered {
            self.said = before;
            self.context.progress.warn(&format!("{error:#}"));
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<()> {
        let prompt = self.processor.prompt(&self.said, Path::new(""))?;
        let features = self.model.features(&prompt.images)?;
        let asked = [rollout::Prompt::new(&prompt, features, self.num_asked)];
        self.num_asked += 1;
        let rows = (prompt.ids.len() + self.config.max_new_tokens).min(self.config.context_length);
        let cache_bytes = self.config.cache_bytes.max(self.model.cache_bytes(rows));
        let config = GenerateConfig { cache_bytes, ..self.config.clone() };
        let completion = self.drawn(&asked, &config)?;
        let opening = match prompt.opens_thought() {
            true => Opening::InPrompt,
            false => Opening::InCompletion,
        };
        let content = Content::Text(opening.response(&completion.text).into_owned());
        self.said.messages.push(Message { role: Role::Assistant, content });
        match self.context.output {
            crate::output::Output::Text => self.context.output.stream("\n"),
            _ => self.context.output.show(&completion, |_| String::new()),
        }
    }

    /// The completion of one prompt, its words shown as they come.
    fn drawn(&self, asked: &[rollout::Prompt], config: &GenerateConfig) -> Result<Completion> {
        let tokenizer = &self.processor.tokenizer;
        let mut text = tokenizer.stream();
        let mut shown = Ok(());
        let mut hear = |heard: Heard<'_>| {
            let Heard::Token { id, .. } = heard else { return };
            if shown.is_ok() {
                let piece = text.push(id).map_err(anyhow::Error::from);
                shown = piece.and_then(|piece| self.context.output.stream(&piece));
            }
        };
        let groups = generate_heard(&self.model.vlm, tokenizer, asked, config, &mut hear)?;
        shown?;
        self.context.output.stream(&text.finish()?)?;
        groups.into_iter().flatten().next().context("no completion")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_questions_or_commands() {
        for (line, want) in [
            ("What is it? ", Line::Question("What is it?")),
            ("/image a picture.png", Line::Image("a picture.png")),
            ("/image", Line::Unknown("/image")),
            ("/new", Line::New),
            ("/quit\n", Line::Quit),
            ("/help", Line::Unknown("/help")),
            ("", Line::Unknown("")),
        ] {
            assert_eq!(Line::parse(line), want);
        }
    }
}
