//! Rollouts drawn on a thread of their own, by a copy of the model, while earlier ones are learned from.
//!
//! ```text
//! learns     ─ rollout 1 ─────► ─ rollout 2 ─────► ─ rollout 3 ─────►       max_staleness = 1
//!             │ parameters      │ parameters
//!             ▼                 ▼
//! draws      ─ rollout 2 ─────► ─ rollout 3 ─────► ─ rollout 4 ─────►
//! ```
//!
//! Which parameters draw which rollout is a matter of counting and not of who is faster: rollout n is asked for when
//! rollout n − 1 − `max_staleness` has been learned from. So even a run that draws ahead gives the same bits twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use engine::Parameters;

use super::GrpoConfig;
use super::draw::{Ask, Drawn, Hand, generation};
use super::flight::Flight;
use crate::Error;
use crate::policy::Policy;

/// How long to wait before looking for work again.
const PAUSE: Duration = Duration::from_micros(500);

/// A thread that draws.
pub(super) struct Ahead {
    jobs: Sender<Job>,
    told: Receiver<Told>,
    /// Asked for and not told of.
    num_awaited: usize,
    /// Drawn and not asked back, oldest first.
    ready: VecDeque<Vec<Drawn>>,
}

/// A rollout and the parameters that draw it.
struct Job {
    ask: Ask,
    parameters: Parameters,
}

/// What the thread says.
enum Told {
    Progress(rollout::Progress),
    Drawn(Result<Vec<Drawn>, Error>),
}

impl Ahead {
    /// Starts the thread with a model of its own; `None` where the policy under training draws itself.
    /// `ready` are rollouts that a checkpoint kept.
    pub(super) fn start(
        config: &GrpoConfig,
        flight: &Arc<Flight>,
        ready: VecDeque<Vec<Drawn>>,
    ) -> Result<Option<Self>, Error> {
        if !config.rollout.is_apart() {
            return Ok(None);
        }
        let mut model = config.model.clone();
        model.dtype = config.rollout.rollout_dtype.unwrap_or(model.dtype);
        let policy = Policy::load(&model, &config.run)?;
        let generation = generation(config, &policy.processor);
        let (jobs, asked) = channel();
        let (tell, told) = channel();
        let flight = Arc::clone(flight);
        std::thread::spawn(move || {
            let mut policy = policy;
            while let Ok(Job { ask, parameters }) = asked.recv() {
                policy.publish(&parameters);
                let Policy { vlm, processor, .. } = &policy;
                let hand = Hand { vlm, processor, config: &generation, flight: &flight };
                // Nobody listens any more when the run has ended.
                let drawn =
                    hand.draw(&ask, &mut |progress| drop(tell.send(Told::Progress(progress))));
                if tell.send(Told::Drawn(drawn)).is_err() {
                    return;
                }
            }
        });
        Ok(Some(Self { jobs, told, num_awaited: 0, ready }))
    }

    /// Rollouts asked for and not taken.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.num_awaited
    }

    /// Asks for one more, drawn by the policy of these parameters.
    pub(super) fn ask(&mut self, ask: Ask, parameters: Parameters) {
        self.jobs.send(Job { ask, parameters }).expect("the thread waits for jobs");
        self.num_awaited += 1;
    }

    /// The oldest rollout, once it is there.
    pub(super) fn take(
        &mut self,
        hear: &mut dyn FnMut(rollout::Progress),
    ) -> Result<Vec<Drawn>, Error> {
        if self.ready.is_empty() {
            self.wait(hear)?;
        }
        Ok(self.ready.pop_front().expect("waited for"))
    }

    /// All rollouts that were asked for, once they are there: what a checkpoint keeps.
    pub(super) fn all(
        &mut self,
        hear: &mut dyn FnMut(rollout::Progress),
    ) -> Result<&VecDeque<Vec<Drawn>>, Error> {
        while self.num_awaited > 0 {
            self.wait(hear)?;
        }
        Ok(&self.ready)
    }

    fn wait(&mut self, hear: &mut dyn FnMut(rollout::Progress)) -> Result<(), Error> {
        loop {
            match self.next_told() {
                Told::Progress(progress) => hear(progress),
                Told::Drawn(drawn) => {
                    self.num_awaited -= 1;
                    self.ready.push_back(drawn?);
                    return Ok(());
                }
            }
        }
    }

    /// What the thread says next. Who waits as a worker of the pool does the pool's work meanwhile: it is what the
    /// thread waits for.
    fn next_told(&self) -> Told {
        loop {
            match self.told.try_recv() {
                Ok(told) => return told,
                Err(TryRecvError::Empty) if rayon::yield_now() == Some(rayon::Yield::Executed) => {}
                Err(_) => match self.told.recv_timeout(PAUSE) {
                    Ok(told) => return told,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(error) => panic!("the thread tells how each job ends: {error}"),
                },
            }
        }
    }
}
