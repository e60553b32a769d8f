//! The way from a route to the model.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use tokio::sync::Semaphore;

use crate::aside::Place;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Where requests wait for the model; no more than are allowed.
pub(crate) struct Queue<J> {
    pub(crate) settings: Settings,
    jobs: Sender<J>,
    places: Arc<Semaphore>,
}

impl<J> Queue<J> {
    pub(crate) fn new(settings: Settings, jobs: Sender<J>) -> Self {
        let places = Arc::new(Semaphore::new(settings.max_requests));
        Self { settings, jobs, places }
    }

    /// A place for a request to this model, held until it is answered or its client has gone.
    pub(crate) fn enter(&self, model: &str) -> Result<Place, Refusal> {
        let Settings { name, max_requests, .. } = &self.settings;
        if !model.is_empty() && model != name {
            return Err(Refusal::unknown_model(model, name));
        }
        self.places.clone().try_acquire_owned().map_err(|_| Refusal::busy(*max_requests))
    }

    /// Puts a job before the model.
    pub(crate) fn send(&self, job: J) -> Result<(), Refusal> {
        self.jobs.send(job).map_err(|_| Refusal::stopped())
    }
}
