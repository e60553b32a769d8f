//! The seam to a learned reward: a conversation and some responses in, one score for each out.

use std::path::Path;

use schema::Sample;

/// What responses are scored against.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The turns that lead to the response, with their images.
    pub prompt: &'a Sample,
    /// The folder that the prompt's image paths are relative to.
    pub folder: &'a Path,
}

/// Scores responses: a reward model in this process, or one behind a server.
pub trait Scorer {
    /// One score for each response, as the model gives it: no sigmoid, no calibration.
    ///
    /// # Errors
    /// When the scorer cannot be asked, or its answer cannot be read.
    fn raw_scores(&mut self, asked: &Asked<'_>, responses: &[&str])
    -> Result<Vec<f64>, ScoreError>;

    /// One finite score for each response: what callers use.
    ///
    /// # Errors
    /// As for [`Self::raw_scores`], and when scores are missing, too many or not finite.
    fn scores(&mut self, asked: &Asked<'_>, responses: &[&str]) -> Result<Vec<f64>, ScoreError> {
        if responses.is_empty() {
            return Ok(Vec::new());
        }
        let scores = self.raw_scores(asked, responses)?;
        if scores.len() != responses.len() {
            return Err(ScoreError::Count { found: scores.len(), expected: responses.len() });
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(response) => Err(ScoreError::NotFinite { response, score: scores[response] }),
            None => Ok(scores),
        }
    }
}

/// Why responses have no scores.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Another number of scores than of responses.
    #[error("{found} scores for {expected} responses")]
    Count {
        /// Scores given.
        found: usize,
        /// Responses asked for.
        expected: usize,
    },
    /// A score that is NaN or infinite.
    #[error("the score of response {response} is {score}")]
    NotFinite {
        /// The response, from 0.
        response: usize,
        /// Its score.
        score: f64,
    },
    /// The scorer itself failed.
    #[error(transparent)]
    Failed(#[from] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<f64>);

    impl Scorer for Fixed {
        fn raw_scores(&mut self, _: &Asked<'_>, _: &[&str]) -> Result<Vec<f64>, ScoreError> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn scores_are_complete_and_finite_or_an_error() {
        let prompt = Sample::default();
        let asked = Asked { prompt: &prompt, folder: Path::new("") };
        let of = |scores: &[f64], responses: &[&str]| {
            Fixed(scores.to_vec()).scores(&asked, responses).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[1.5, -2.0], &["a", "b"]), Ok(vec![1.5, -2.0]));
        assert_eq!(of(&[f64::NAN], &[]), Ok(vec![]));
        assert_eq!(of(&[1.0], &["a", "b"]), Err("1 scores for 2 responses".into()));
        assert_eq!(of(&[1.0, f64::NAN], &["a", "b"]), Err("the score of response 1 is NaN".into()));
        assert!(of(&[f64::NEG_INFINITY], &["a"]).is_err());
    }
}
