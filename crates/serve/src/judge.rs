//! The reward model at work: conversations that wait are scored together.

use std::path::Path;
use std::sync::mpsc::Receiver;

use reward::{Asked, ScoreError, Scorer as _};
use rollout::Judge;
use schema::Sample;
use tokio::sync::oneshot::Sender;

/// Requests that are scored together.
const TOGETHER: usize = 32;

/// What is to be scored, and who is told.
pub(crate) struct Job {
    pub(crate) prompt: Sample,
    pub(crate) responses: Vec<String>,
    /// One score for each response, or why there are none.
    pub(crate) scores: Sender<Result<Vec<f64>, ScoreError>>,
}

impl Job {
    fn texts(&self) -> Vec<&str> {
        self.responses.iter().map(String::as_str).collect()
    }
}

/// Answers until no more requests can come.
pub(crate) fn work(judge: &mut Judge, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut waiting = vec![first];
        waiting.extend(jobs.try_iter().take(TOGETHER - 1));
        // Nobody waits for the others.
        waiting.retain(|job| !job.scores.is_closed());
        match scored_together(judge, &waiting) {
            Some(scores) => {
                for (job, scores) in waiting.into_iter().zip(scores) {
                    let _ = job.scores.send(Ok(scores));
                }
            }
            // Which of them is at fault shows when each is scored alone.
            None => waiting.into_iter().for_each(|job| answer_alone(judge, job)),
        }
    }
}

/// The scores of all, if none is at fault.
fn scored_together(judge: &mut Judge, jobs: &[Job]) -> Option<Vec<Vec<f64>>> {
    let judged = |job: &Job| judge.judged(&job.prompt, &job.texts(), Path::new("")).ok();
    let judged = jobs.iter().map(judged).collect::<Option<Vec<_>>>()?;
    let scores = judge.score(judged).ok()?;
    let is_sound = scores.iter().flatten().all(|score| score.is_finite());
    let widened = |scores: Vec<f32>| scores.into_iter().map(f64::from).collect();
    is_sound.then(|| scores.into_iter().map(widened).collect())
}

fn answer_alone(judge: &mut Judge, job: Job) {
    let asked = Asked { prompt: &job.prompt, folder: Path::new("") };
    let scores = judge.scores(&asked, &job.texts());
    let _ = job.scores.send(scores);
}
