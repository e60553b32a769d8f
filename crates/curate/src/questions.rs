//! What the judge writes: a better response in place of a weak one.

use std::path::Path;

use data::Preference;
use judge::{Question, quoting, whole_response, without_tags};
use schema::Sample;

/// A chosen response that is weak, to be written anew. No rule can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regenerate<'a>(pub(crate) &'a Preference);

impl Question for Regenerate<'_> {
    type Verdict = String;
    const VERSION: &'static str = "regenerate/1";
    const FORM: &'static str = "the response alone, as it would be given to the one who asked";

    fn prompt(&self) -> Sample {
        let Preference { prompt, chosen, rejected, .. } = self.0;
        let [chosen, rejected] = [chosen, rejected].map(|text| without_tags(text));
        let known = prompt.answer.as_ref();
        let known = known.map_or(String::new(), |gold| format!("The known answer is: {gold}\n\n"));
        let text = format!(
            "One response to the conversation above, which is not good enough:\n\n{chosen}\n\nAnother, which is worse:\n\n\
             {rejected}\n\n{known}Write a response that is clearly better than both: correct, borne out by the image, reasoned \
             step by step where the question needs it, and no longer than it has to be. Do not mention other responses. Reply \
             with {}.",
            Self::FORM
        );
        quoting("You write responses that a reward model learns to prefer.", prompt, &text)
    }

    fn folder(&self) -> &Path {
        Path::new("")
    }

    fn read(&self, reply: &str) -> Result<String, String> {
        let Preference { prompt, chosen, rejected, .. } = self.0;
        let text = reward::after_thought(reply).ok_or("the thought is not closed")?.trim();
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text == chosen.trim() || text == rejected.trim() {
            return Err("it repeats a response that was shown".to_owned());
        }
        match &prompt.answer {
            Some(gold) if !reward::verify(gold, &whole_response(text)).equivalent => {
                Err("its answer is not the known answer".to_owned())
            }
            _ => Ok(text.to_owned()),
        }
    }

    fn by_rule(&self) -> Option<String> {
        None
    }
}
