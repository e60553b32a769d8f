//! Responses of several models to prompts with known answers, and the pairs of right and wrong ones.

use std::borrow::Cow;
use std::path::Path;

use data::{Preference, absolute, lines, prompt_of};
use judge::{Decoding, Failure, Request, estimate_text, whole_response};
use schema::{Content, Message, Part, Role, Sample};
use serde_json::json;
use stages::{Keyed, Store, key};

use crate::config::CurateConfig;
use crate::pair::Pair;
use crate::run::{Leavings, Responder};
use crate::statistics::{Dropped, Statistics};
use crate::{Error, Progress};

/// A prompt with its answer, and what was said to it.
struct Asked {
    prompt: Sample,
    gold: String,
    /// Names its content.
    hash: String,
    /// Who said what, and whether it is right.
    responses: Vec<Said>,
}

struct Said {
    who: String,
    text: String,
    is_right: bool,
}

/// What a collection needs besides the models.
pub(crate) struct Collecting<'a> {
    pub(crate) config: &'a CurateConfig,
    pub(crate) store: &'a Store,
    pub(crate) statistics: &'a mut Statistics,
    pub(crate) leavings: &'a mut Leavings,
    pub(crate) watch: &'a mut dyn FnMut(Progress),
}

impl Collecting<'_> {
    /// Has every model respond to every prompt of a file, and pairs what is right with what is wrong.
    pub(crate) fn collect(
        &mut self,
        path: &Path,
        responders: &mut [Responder<'_>],
    ) -> Result<Vec<Pair>, Error> {
        let mut asked = self.read(path)?;
        self.statistics.num_prompts = asked.len();
        for responder in responders {
            self.respond(&mut asked, responder)?;
        }
        let mut pairs = Vec::new();
        for (number, one) in asked.iter().enumerate() {
            pairs.extend(self.pairs(one, &format!("{}: prompt {}", path.display(), number + 1)));
        }
        *self.statistics.sources.entry("collected".to_owned()).or_insert(0) += pairs.len();
        Ok(pairs)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<Asked>, Error> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut asked = Vec::new();
        for line in lines::<Sample>(path)? {
            let sample = match line {
                Ok((_, sample)) => sample,
                Err(error @ data::Error::Io { .. }) => return Err(error.into()),
                Err(error) => {
                    self.bad_prompt(path, &error.to_string());
                    continue;
                }
            };
            let Some(gold) = sample.answer.clone().filter(|gold| !gold.trim().is_empty()) else {
                self.bad_prompt(path, "a prompt without a known answer");
                continue;
            };
            let prompt = absolute(prompt_of(&sample), folder);
            let text = serde_json::to_string(&prompt).expect("a prompt has a JSON form");
            asked.push(Asked { prompt, gold, hash: key(&[&text]), responses: vec![] });
        }
        Ok(asked)
    }

    /// Counts a line that is no prompt among what came in.
    fn bad_prompt(&mut self, path: &Path, reason: &str) {
        *self.statistics.sources.entry("collected".to_owned()).or_insert(0) += 1;
        self.leavings.add(&path.display().to_string(), Dropped::BadLine, reason);
    }

    fn respond(&mut self, asked: &mut [Asked], responder: &mut Responder<'_>) -> Result<(), Error> {
        let prompts = self.prompts(asked, responder)?;
        let version = if responder.captioner.is_some() { "reasoner/1" } else { "response/1" };
        let num = self.config.num_generations;
        let mut requests = Vec::new();
        let mut owners = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let Some(prompt) = prompt else { continue };
            for draw in 0..num as u64 {
                let decoding = Decoding {
                    temperature: self.config.temperature,
                    ..Decoding::greedy(self.config.max_new_tokens, self.config.seed + draw)
                };
                owners.push(index);
                requests.push(request(&asked[index].hash, version, prompt, decoding));
            }
        }
        let total = requests.len();
        let (mut said, mut done) = (vec![], 0);
        let Self { statistics, watch, store, .. } = self;
        store.respond("response", responder.model, requests, &mut |number, outcome| {
            match outcome {
                Ok(response) => said.push((number, response.text)),
                Err(failure) => lost(statistics, &failure),
            }
            done += 1;
            watch(Progress { step: "responses", done, total });
        })?;
        said.sort_by_key(|(number, _)| *number);
        for (number, text) in said {
            let one = &mut asked[owners[number]];
            let text = whole_response(&text).trim().to_owned();
            let is_right = reward::verify(&one.gold, &text).equivalent;
            let counts = self.statistics.responses.entry(responder.name.clone()).or_insert([0, 0]);
            counts[0] += usize::from(is_right);
            counts[1] += 1;
            if !text.is_empty() {
                one.responses.push(Said { who: responder.name.clone(), text, is_right });
            }
        }
        Ok(())
    }

    /// What the model reads: the prompts as they are, or with a caption in place of the images.
    fn prompts(
        &mut self,
        asked: &[Asked],
        responder: &mut Responder<'_>,
    ) -> Result<Vec<Option<Sample>>, Error> {
        let mut prompts: Vec<Option<Sample>> =
            asked.iter().map(|one| Some(one.prompt.clone())).collect();
        let Some(captioner) = &mut responder.captioner else { return Ok(prompts) };
        let shown: Vec<usize> =
            (0..asked.len()).filter(|&index| !asked[index].prompt.images.is_empty()).collect();
        let captioning: Vec<Sample> =
            shown.iter().map(|&index| caption_prompt(&asked[index].prompt)).collect();
        let decoding = Decoding::greedy(self.config.max_new_tokens, self.config.seed);
        let requests = shown.iter().zip(&captioning);
        let requests = requests
            .map(|(&index, prompt)| request(&asked[index].hash, "caption/1", prompt, decoding));
        shown.iter().for_each(|&index| prompts[index] = None);
        let (total, mut done) = (shown.len(), 0);
        let Self { statistics, watch, store, .. } = self;
        store.respond("caption", *captioner, requests.collect(), &mut |number, outcome| {
            let index = shown[number];
            match outcome {
                Ok(caption) => {
                    prompts[index] = Some(captioned(&asked[index].prompt, &caption.text))
                }
                Err(failure) => lost(statistics, &failure),
            }
            done += 1;
            watch(Progress { step: "captions", done, total });
        })?;
        Ok(prompts)
    }

    /// Right against wrong, up to the cap: spread by the hash of both.
    fn pairs(&self, asked: &Asked, place: &str) -> Vec<Pair> {
        let side = |is_right| asked.responses.iter().filter(move |said| said.is_right == is_right);
        let all = side(true).flat_map(|chosen| side(false).map(move |rejected| (chosen, rejected)));
        let mut pairs: Vec<Pair> = all.map(|(c, r)| pair(asked, c, r, place)).collect();
        pairs.sort_by(|a, b| a.hash.cmp(&b.hash));
        pairs.truncate(self.config.max_pairs_per_prompt);
        pairs
    }
}

fn request<'a>(
    content: &'a str,
    prompt_version: &'a str,
    prompt: &'a Sample,
    decoding: Decoding,
) -> Keyed<'a, Request<'a>> {
    let (prompt, folder) = (Cow::Borrowed(prompt), Path::new(""));
    let value = Request { prompt_version, prompt, folder, decoding, stream: decoding.seed };
    Keyed { content, value }
}

fn lost(statistics: &mut Statistics, failure: &Failure) {
    statistics.num_failed_requests += 1;
    if let Failure::Stopped { reason } = failure {
        statistics.stopped.get_or_insert(reason.clone());
    }
}

fn pair(asked: &Asked, chosen: &Said, rejected: &Said, place: &str) -> Pair {
    let mut prompt = asked.prompt.clone();
    prompt.extra.insert("source".to_owned(), json!("collected"));
    prompt.extra.insert("responders".to_owned(), json!([chosen.who, rejected.who]));
    let (chosen, rejected) = (chosen.text.clone(), rejected.text.clone());
    let (score_chosen, score_rejected) = (None, None);
    let preference = Preference { prompt, chosen, rejected, score_chosen, score_rejected };
    Pair::new(preference, place.to_owned())
}

/// The images with the question that their description shall serve.
fn caption_prompt(prompt: &Sample) -> Sample {
    judge::quoting(
        "You describe images for a reader who cannot see them.",
        prompt,
        "Do not answer. Describe the images above in full, so that a reader who cannot see them could answer: all objects, \
         their places and relations, every text, number, label and unit as it is written, and the form of every diagram.",
    )
}

/// The prompt with the description of its images in front, and no image.
fn captioned(prompt: &Sample, caption: &str) -> Sample {
    let caption = reward::after_thought(caption).unwrap_or(caption).trim();
    // A caption that never ends describes nothing.
    let caption: String = match estimate_text(caption) {
        0..=16_384 => caption.to_owned(),
        _ => caption.chars().take(16_384).collect(),
    };
    let mut prompt = prompt.clone();
    prompt.images.clear();
    for message in &mut prompt.messages {
        match &mut message.content {
            Content::Text(text) => *text = text.replace("<image>", "").trim().to_owned(),
            Content::Parts(parts) => parts.retain(|part| matches!(part, Part::Text { .. })),
        }
    }
    let described = format!("The image, described: {}\n\n", caption.replace("<image>", "[image]"));
    let first = prompt.messages.iter_mut().find(|message| message.role == Role::User);
    if let Some(Message { content, .. }) = first {
        match content {
            Content::Text(text) => text.insert_str(0, &described),
            Content::Parts(parts) => parts.insert(0, Part::Text { text: described }),
        }
    }
    prompt
}
