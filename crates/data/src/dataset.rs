//! A `messages` file whose samples have been checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schema::{Content, Message, Part, Role, Sample};

use crate::jsonl::{lines, take_what_is_good};
use crate::{Error, Result};

/// The samples of one JSONL file, each with as many image tags before its response as images, and every image file there.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Its samples; their image paths are as the file has them.
    pub samples: Vec<Sample>,
    lines: Vec<usize>,
}

impl Dataset {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Names file and line of the first line that is no sample, has another number of image tags than of images, or
    /// names an image file that does not exist. Tags in a response at the end are words of it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let mut dataset = Self::none(path.as_ref());
        lines(path.as_ref())?.try_for_each(|line| dataset.add(line))?;
        Ok(dataset)
    }

    /// As [`Self::read`], but bad lines are left out; with them comes why.
    ///
    /// # Errors
    ///
    /// When the file itself cannot be read.
    pub fn read_what_is_good(path: impl AsRef<Path>) -> Result<(Self, Vec<Error>)> {
        let mut dataset = Self::none(path.as_ref());
        let bad = take_what_is_good(lines(path.as_ref())?, |line| dataset.add(line))?;
        Ok((dataset, bad))
    }

    fn none(path: &Path) -> Self {
        Self { path: path.to_owned(), samples: vec![], lines: vec![] }
    }

    fn add(&mut self, line: Result<(usize, Sample)>) -> Result<()> {
        let (line, sample) = line?;
        self.check(&sample, line)?;
        self.samples.push(sample);
        self.lines.push(line);
        Ok(())
    }

    /// Drops the samples whose flag is not set.
    pub fn keep(&mut self, is_kept: &[bool]) {
        retain(&mut self.samples, is_kept);
        retain(&mut self.lines, is_kept);
    }

    /// Where an entry of [`Sample::images`] lies: relative paths start at the file's folder. A `data:` URL is no path.
    pub fn image_path(&self, image: &str) -> Option<PathBuf> {
        image_path(image, self.folder())
    }

    /// The folder of the file, where relative image paths start.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// File and line of sample `index`, for messages.
    pub fn place(&self, index: usize) -> String {
        format!("{}:{}", self.path.display(), self.line(index))
    }

    /// The line of sample `index`, from 1.
    pub fn line(&self, index: usize) -> usize {
        self.lines[index]
    }

    fn check(&self, sample: &Sample, line: usize) -> Result<()> {
        let (tags, images) = (num_image_tags(prompt_turns(sample)), sample.images.len());
        if tags != images {
            return Err(Error::ImageCount { path: self.path.clone(), line, tags, images });
        }
        match missing_image(sample, self.folder()) {
            Some(image) => Err(Error::MissingImage { path: self.path.clone(), line, image }),
            None => Ok(()),
        }
    }
}

/// The first image file of a sample that does not exist; relative paths start at `folder`.
pub(crate) fn missing_image(sample: &Sample, folder: &Path) -> Option<PathBuf> {
    let own = sample.messages.iter().filter_map(|m| parts(m)).flatten().filter_map(own_image);
    let images = sample.images.iter().map(String::as_str).chain(own);
    images.filter_map(|image| image_path(image, folder)).find(|file| !file.is_file())
}

fn image_path(image: &str, folder: &Path) -> Option<PathBuf> {
    (!image.starts_with("data:")).then(|| folder.join(image))
}

/// How many entries of [`Sample::images`] the text asks for: `<image>` tags, and image parts without a path.
pub fn num_image_tags(messages: &[Message]) -> usize {
    let count = |text: &str| text.matches("<image>").count();
    let in_message = |message: &Message| match &message.content {
        Content::Text(text) => count(text),
        Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text { text } => count(text),
                Part::Image { image } => usize::from(image.is_none()),
                Part::ImageUrl { .. } => 0,
            })
            .sum(),
    };
    messages.iter().map(in_message).sum()
}

fn parts(message: &Message) -> Option<&[Part]> {
    if let Content::Parts(parts) = &message.content { Some(parts) } else { None }
}

/// The path that an image part brings itself.
fn own_image(part: &Part) -> Option<&str> {
    if let Part::Image { image } = part { image.as_deref() } else { None }
}

/// Drops the items whose flag is not set.
pub fn retain<T>(items: &mut Vec<T>, is_kept: &[bool]) {
    let mut flags = is_kept.iter();
    items.retain(|_| flags.next().is_some_and(|kept| *kept));
}

/// The turns that lead to a response at the end.
fn prompt_turns(sample: &Sample) -> &[Message] {
    match sample.messages.split_last() {
        Some((last, rest)) if last.role == Role::Assistant => rest,
        _ => &sample.messages,
    }
}

/// The sample without its last turn when that is the assistant's: what a model is asked.
pub fn prompt_of(sample: &Sample) -> Sample {
    let mut prompt = sample.clone();
    prompt.messages.pop_if(|last| last.role == Role::Assistant);
    prompt
}

/// The sample with image paths that hold wherever it is written; relative ones start at `folder`.
pub fn absolute(mut sample: Sample, folder: &Path) -> Sample {
    let mend = |image: &mut String| {
        if !image.starts_with("data:") {
            let path = folder.join(&*image);
            let path: PathBuf = std::path::absolute(&path).unwrap_or(path);
            *image = path.display().to_string();
        }
    };
    sample.image_paths_mut().for_each(mend);
    sample
}

/// The words of a sample's last turn, if that is the assistant's: what it is taught to say.
pub fn response_of(sample: &Sample) -> Option<String> {
    let last = sample.messages.last().filter(|last| last.role == Role::Assistant)?;
    Some(match &last.content {
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => {
            let text = |part: &Part| match part {
                Part::Text { text } => Some(text.clone()),
                Part::Image { .. } | Part::ImageUrl { .. } => None,
            };
            parts.iter().filter_map(text).collect()
        }
    })
}

/// The commonest answer and its share of the samples that have one: what a model reaches that never looks.
pub fn majority_answer(samples: &[Sample]) -> Option<(&str, f64)> {
    let mut counts = BTreeMap::new();
    for answer in samples.iter().filter_map(|s| s.answer.as_deref()) {
        *counts.entry(answer).or_insert(0usize) += 1;
    }
    let total: usize = counts.values().sum();
    let (answer, count) = counts.into_iter().max_by_key(|&(_, count)| count)?;
    Some((answer, count as f64 / total as f64))
}
