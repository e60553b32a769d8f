//! Everything that turns a sample into model input, loaded from a model's folder.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use schema::{Role, Sample};

use crate::conversation::{Conversation, IMAGE_TAG, Turn};
use crate::error::{Error, Result};
use crate::example::{Example, Segment, segments};
use crate::image::ImageFile;
use crate::judged::{Judged, prompt_alone, rendered, split};
use crate::language_files::LanguageFiles;
use crate::model_image::{ModelImage, VisionSettings};
use crate::places::places;
use crate::prompt::{Expansion, Prompt};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// How a model takes its images.
#[derive(Clone, Debug)]
pub struct ImageInput {
    /// How images are cut and normalised.
    pub settings: VisionSettings,
    /// The id whose rows the visual tokens overwrite.
    pub row_id: u32,
}

/// Turns samples into prompts and training examples for one model.
#[derive(Debug)]
pub struct Processor {
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Conversation to text.
    pub template: ChatTemplate,
    /// How images enter; `None` for a language model alone.
    pub images: Option<ImageInput>,
    /// Ids that end an answer, ascending.
    pub stop_ids: Vec<u32>,
    /// The most tokens a sequence may have; callers may lower it.
    pub context_length: usize,
    path: PathBuf,
}

impl Processor {
    /// Loads a model's folder, or a GGUF file.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed, or the tokenizer lacks an image token that the vision settings call for.
    pub fn load(model: &Path) -> Result<Self> {
        let settings = VisionSettings::load(model)?;
        Self::from_files(model, &LanguageFiles::load(model)?, settings)
    }

    /// As [`Self::load`] from what was read or made already; `model` appears in errors.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub fn from_files(
        model: &Path,
        files: &LanguageFiles,
        settings: Option<VisionSettings>,
    ) -> Result<Self> {
        let missing = |what: &str| Error::Missing { path: model.to_owned(), what: what.to_owned() };
        let source = files.chat_template.as_deref().ok_or_else(|| missing("chat template"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let tokenizer = Tokenizer::from_json(&files.tokenizer)?;
        let context_length = files.context_length;
        Ok(Self {
            template: ChatTemplate::new(source, &files.special_tokens(), now)?,
            images: settings.map(|settings| image_input(&tokenizer, settings)).transpose()?,
            stop_ids: files.stop_ids(&tokenizer),
            context_length: context_length.ok_or_else(|| missing("max_position_embeddings"))?,
            tokenizer,
            path: model.to_owned(),
        })
    }

    /// The prompt of a sample: its turns up to the answer, a final assistant turn left out. Image paths are relative
    /// to `base`.
    ///
    /// # Errors
    ///
    /// When an image cannot be opened, tags and images differ in number, the template refuses the turns, or the ids
    /// exceed the context.
    pub fn prompt(&self, sample: &Sample, base: &Path) -> Result<Prompt> {
        let conversation = self.conversation(sample)?;
        let images = self.open_images(&conversation.images, base, 1)?;
        let text = self.template.render_prompt(conversation.prompt_turns())?;
        let mut expansion = self.expansion(&images);
        let ids = self.ids(&text, &mut expansion)?;
        expansion.finish(images.len())?;
        let image_rows = self.image_rows(&ids, &images)?;
        self.check_length(ids.len())?;
        let places = self.places(ids.len(), &image_rows, &images);
        Ok(Prompt { text, ids, image_rows, places, images })
    }

    /// A prompt with responses to it, as a reward model reads them: each rendered whole, without a generation prompt,
    /// and tokenised as one text. An answer that the sample ends in is no part of the prompt; image tags in a response
    /// are text.
    ///
    /// # Errors
    ///
    /// As for [`Self::prompt`].
    pub fn judged(&self, prompt: &Sample, responses: &[&str], base: &Path) -> Result<Judged> {
        let conversation = self.conversation(&prompt_alone(prompt))?;
        let images = self.open_images(&conversation.images, base, 1)?;
        let mut sequences = Vec::with_capacity(responses.len());
        for response in responses {
            let mut expansion = self.expansion(&images);
            let text = rendered(&self.template, &conversation.turns, response)?;
            let ids = self.ids(&text, &mut expansion)?;
            // Tags beyond the images are words of the response.
            expansion.finish(images.len() + response.matches(IMAGE_TAG).count())?;
            self.image_rows(&ids, &images)?;
            self.check_length(ids.len())?;
            sequences.push(ids);
        }
        let (prefix, branches) = split(sequences);
        let image_rows = self.image_rows(&prefix, &images)?;
        let places = self.places(prefix.len(), &image_rows, &images);
        Ok(Judged { prefix, branches, image_rows, places, images })
    }

    /// The training sequence of a sample: everything up to its last assistant turn, with a loss on every assistant
    /// turn. Pieces are tokenised separately, as at inference. Several images share the limit on tiles.
    ///
    /// # Errors
    ///
    /// As for [`Self::prompt`], and when there is no assistant turn or the template does not end one with a special
    /// token.
    pub fn example(&self, sample: &Sample, base: &Path) -> Result<Example> {
        let conversation = self.conversation(sample)?;
        let images = self.open_images(&conversation.images, base, conversation.images.len())?;
        let mut expansion = self.expansion(&images);
        let (mut ids, mut loss_mask) = (Vec::new(), Vec::new());
        for segment in segments(&self.template, &conversation.turns)? {
            let mut piece = |text: &str| self.ids(text, &mut expansion);
            let (new, learned) = match &segment {
                Segment::Prompt(text) => (piece(text)?, 0),
                Segment::Answer(text) => {
                    let new = piece(text)?;
                    let learned = new.len();
                    (new, learned)
                }
                Segment::Bridge(text) => (self.ends_turn(piece(text)?)?, 1),
                Segment::Close(text) => (self.ends_turn(piece(text)?)?[..1].to_vec(), 1),
            };
            loss_mask.extend((0..new.len()).map(|index| index < learned));
            ids.extend(new);
        }
        expansion.finish(images.len())?;
        let image_rows = self.image_rows(&ids, &images)?;
        self.check_length(ids.len())?;
        let places = self.places(ids.len(), &image_rows, &images);
        Ok(Example { ids, loss_mask, image_rows, places, images })
    }

    /// Ids to learn of a response to the sample's prompt: its words, a thought that the prompt opens left out, and the
    /// token that ends the turn. They follow the ids of [`Self::prompt`]; image tags in the response are text.
    ///
    /// # Errors
    ///
    /// When the template refuses the turns or does not end an answer with a special token.
    pub fn response(&self, sample: &Sample, response: &str) -> Result<Vec<u32>> {
        let conversation = self.conversation(sample)?;
        let mut turns = conversation.prompt_turns().to_vec();
        turns.push(Turn { role: Role::Assistant, text: response.to_owned() });
        let mut ids = Vec::new();
        for segment in segments(&self.template, &turns)? {
            match segment {
                Segment::Prompt(_) | Segment::Bridge(_) => ids.clear(),
                Segment::Answer(text) => ids.extend(self.tokenizer.encode(&text)?),
                Segment::Close(text) => {
                    let close = self.ends_turn(self.tokenizer.encode(&text)?)?;
                    ids.push(close[0]);
                }
            }
        }
        Ok(ids)
    }

    /// Ids of a completion as it would follow a prompt: special tokens in it are recognised, nothing is added.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text.
    pub fn completion(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// Settles how one image file is cut.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the model takes no images.
    pub fn image(&self, reference: &str, base: &Path) -> Result<ModelImage> {
        self.vision(1)?.image(ImageFile::load(reference, base)?, 1)
    }

    /// Opens and tiles images; `share` of them divide the limit on tiles. No more are opened than the context has room
    /// for.
    fn open_images(&self, paths: &[String], base: &Path, share: usize) -> Result<Vec<ModelImage>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let settings = self.vision(paths.len())?;
        let (mut images, mut num_tokens) = (Vec::new(), 0);
        for path in paths {
            let image = settings.image(ImageFile::load(path, base)?, share)?;
            num_tokens += image.num_tokens();
            self.check_length(num_tokens)?;
            images.push(image);
        }
        Ok(images)
    }

    /// How so many images are cut, if the model takes any.
    fn vision(&self, images: usize) -> Result<&VisionSettings> {
        let none = || Error::NoVision { images, path: self.path.clone() };
        Ok(&self.images.as_ref().ok_or_else(none)?.settings)
    }

    /// Ids of a text whose image tags are expanded. One that cannot fit the context however it is cut is not begun with.
    fn ids(&self, text: &str, expansion: &mut Expansion<'_>) -> Result<Vec<u32>> {
        self.check_length(self.tokenizer.least_tokens(text.len()))?;
        self.tokenizer.encode(&expansion.expand(text))
    }

    /// The turns as text, with an image tag where each image stands.
    fn conversation(&self, sample: &Sample) -> Result<Conversation> {
        let tokens = self.images.as_ref().map(|input| input.settings.tokens());
        Conversation::with_separator(sample, tokens.map_or("\n", |tokens| tokens.after_part))
    }

    fn expansion<'a>(&self, images: &'a [ModelImage]) -> Expansion<'a> {
        Expansion::new(images, self.images.as_ref().map(|input| input.settings.tokens()))
    }

    /// Where rows stand, for a model that does not simply count them.
    fn places(
        &self,
        num_rows: usize,
        image_rows: &[usize],
        images: &[ModelImage],
    ) -> Option<Vec<[u32; 3]>> {
        let has_places = self.images.as_ref().is_some_and(|input| input.settings.has_places());
        (has_places && !images.is_empty()).then(|| places(num_rows, image_rows, images))
    }

    /// Where the image rows are; their number must be the images'.
    fn image_rows(&self, ids: &[u32], images: &[ModelImage]) -> Result<Vec<usize>> {
        let Some(input) = &self.images else { return Ok(Vec::new()) };
        let rows: Vec<usize> = (0..ids.len()).filter(|&row| ids[row] == input.row_id).collect();
        let expected = images.iter().map(ModelImage::num_tokens).sum();
        if rows.len() != expected {
            return Err(Error::ImageRows { expected, found: rows.len() });
        }
        Ok(rows)
    }

    /// Checks that what follows an answer begins with a token that ends the turn.
    fn ends_turn(&self, ids: Vec<u32>) -> Result<Vec<u32>> {
        match ids.first() {
            Some(&id) if self.tokenizer.is_special(id) || self.stop_ids.contains(&id) => Ok(ids),
            _ => {
                let reason = "it does not end the assistant's turn with a special token".to_owned();
                Err(Error::Template { reason })
            }
        }
    }

    fn check_length(&self, length: usize) -> Result<()> {
        if length > self.context_length {
            return Err(Error::TooLong { length, context: self.context_length });
        }
        Ok(())
    }
}

fn image_input(tokenizer: &Tokenizer, settings: VisionSettings) -> Result<ImageInput> {
    let tokens = settings.tokens();
    tokenizer.require(tokens.open, "opens an image in the text")?;
    tokenizer.require(tokens.close, "closes an image in the text")?;
    let row_id = tokenizer.require(tokens.row, "stands for one row of an image")?;
    Ok(ImageInput { settings, row_id })
}
