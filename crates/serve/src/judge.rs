//! The reward model at work: conversations that wait are scored together, a few responses at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use preprocess::Judged;
use reward::ScoreError;
use rollout::{Candidates, Judge};
use tokio::sync::oneshot::Sender;

use crate::aside::Pixels;
use crate::refusal::Refusal;

/// Responses that are scored before it is asked again who still waits.
const TOGETHER: usize = 32;

/// What is to be scored, and who is told.
pub(crate) struct Job {
    pub(crate) judged: Judged,
    pub(crate) pixels: Pixels,
    /// One score for each response, or why there are none.
    pub(crate) scores: Sender<Result<Vec<f64>, Refusal>>,
}

/// A request that is being answered.
struct Open {
    candidates: Candidates,
    found: Vec<f64>,
    scores: Sender<Result<Vec<f64>, Refusal>>,
}

/// Answers until no more requests can come.
pub(crate) fn work(judge: &mut Judge, jobs: &Receiver<Job>) {
    let mut open = VecDeque::new();
    while let Ok(first) = jobs.recv() {
        open.extend(join(judge, first));
        while !open.is_empty() {
            open.extend(jobs.try_iter().filter_map(|job| join(judge, job)));
            open.retain(|one| !one.scores.is_closed());
            score_some(judge, &mut open);
        }
    }
}

/// Lets a request in, if its client is still there and its images can be encoded.
fn join(judge: &mut Judge, job: Job) -> Option<Open> {
    let Job { judged, pixels, scores } = job;
    if scores.is_closed() {
        return None;
    }
    match guarded(|| judge.candidates(judged, pixels.values)) {
        Ok(candidates) => Some(Open { candidates, found: Vec::new(), scores }),
        Err(refusal) => {
            let _ = scores.send(Err(refusal));
            None
        }
    }
}

/// Scores the next responses. A request that has some left goes to the end of the line.
fn score_some(judge: &Judge, open: &mut VecDeque<Open>) {
    let (mut turn, mut room) = (Vec::new(), TOGETHER);
    while room > 0
        && let Some(one) = open.pop_front()
    {
        let part = one.part(room);
        room -= part.judged.branches.len();
        turn.push((one, part));
    }
    let parts: Vec<Candidates> = turn.iter().map(|(_, part)| part.clone()).collect();
    let together = scores(judge, &parts).ok().filter(|scores| is_sound(scores));
    let mut together = together.map(Vec::into_iter);
    for (one, part) in turn {
        let scores = match together.as_mut().and_then(Iterator::next) {
            Some(scores) => Ok(scores),
            // Which of them is at fault shows when each is scored alone.
            None => scores(judge, &[part]).map(|scores| scores.concat()),
        };
        open.extend(one.go_on(scores));
    }
}

fn scores(judge: &Judge, parts: &[Candidates]) -> Result<Vec<Vec<f32>>, Refusal> {
    guarded(|| judge.values(parts))
}

fn is_sound(scores: &[Vec<f32>]) -> bool {
    scores.iter().flatten().all(|score| score.is_finite())
}

/// The model's work, whose panic is no more than the request's error.
fn guarded<T>(work: impl FnOnce() -> Result<T, rollout::Error>) -> Result<T, Refusal> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| Refusal::invalid("messages", error.to_string())),
        Err(_) => Err(Refusal::defect()),
    }
}

impl Open {
    /// The next responses, `most` of them at most.
    fn part(&self, most: usize) -> Candidates {
        let Candidates { judged, features } = &self.candidates;
        let left = &judged.branches[self.found.len()..];
        let branches = left[..left.len().min(most)].to_vec();
        let (prefix, image_rows) = (judged.prefix.clone(), judged.image_rows.clone());
        let (places, images) = (judged.places.clone(), Vec::new());
        let judged = Judged { prefix, branches, image_rows, places, images };
        Candidates { judged, features: features.clone() }
    }

    /// Adds scores; itself, if it has responses left, and otherwise its client is told.
    fn go_on(mut self, scores: Result<Vec<f32>, Refusal>) -> Option<Self> {
        let is_complete = match &scores {
            Ok(scores) => {
                self.found.extend(scores.iter().copied().map(f64::from));
                self.found.len() >= self.candidates.judged.branches.len()
            }
            Err(_) => true,
        };
        if !is_complete {
            return Some(self);
        }
        let unsound = self.found.iter().position(|score| !score.is_finite());
        let answer = match (scores, unsound) {
            (Err(refusal), _) => Err(refusal),
            (Ok(_), Some(response)) => {
                let error = ScoreError::NotFinite { response, score: self.found[response] };
                Err(Refusal::failed(error.to_string()))
            }
            (Ok(_), None) => Ok(self.found),
        };
        let _ = self.scores.send(answer);
        None
    }
}
