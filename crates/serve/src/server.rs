//! The routes, and the model behind them.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use model::vlm::Vlm;
use openai::ApiKey;
use preprocess::Processor;
use rollout::Judge;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::chat::{self, Chats};
use crate::generator::Generator;
use crate::judge;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::scores::{self, Scores};
use crate::{Error, Settings};

/// A model to be served.
pub struct Served(Kind);

enum Kind {
    Chat(Box<Vlm>, Arc<Processor>),
    Reward(Box<Judge>),
}

impl Served {
    /// A model that answers: `/v1/chat/completions`.
    pub fn chat(vlm: Vlm, processor: Processor) -> Self {
        Self(Kind::Chat(Box::new(vlm), Arc::new(processor)))
    }

    /// A model that scores: `/score`, `/classify` and `/pooling`.
    pub fn reward(judge: Judge) -> Self {
        Self(Kind::Reward(Box::new(judge)))
    }
}

/// Serves until the process is interrupted or told to end; requests under way are answered first.
///
/// The model works on the thread that calls: it should be one of the pool's that kernels run in, which would else wait
/// while the others work.
///
/// # Errors
///
/// When the system refuses the socket, a thread or the signals.
pub fn serve(listener: TcpListener, served: Served, settings: Settings) -> Result<(), Error> {
    let runtime = runtime()?;
    let end = {
        let _runtime = runtime.enter();
        interrupted()?
    };
    run(&runtime, listener, (served, settings), end)
}

/// As [`serve`], but until `end`.
///
/// # Errors
///
/// When the system refuses the socket or a thread.
pub fn serve_until(
    listener: TcpListener,
    served: Served,
    settings: Settings,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    run(&runtime()?, listener, (served, settings), end)
}

fn runtime() -> std::io::Result<Runtime> {
    // What the model does not do is little.
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn run(
    runtime: &Runtime,
    listener: TcpListener,
    (served, settings): (Served, Settings),
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (routes, work) = routes(served, &settings);
    let routes = guarded(routes, &settings);
    listener.set_nonblocking(true)?;
    let serving = runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, routes).with_graceful_shutdown(end).await
    });
    // Until the routes are gone, and with them all who could ask.
    work();
    Ok(runtime.block_on(serving).map_err(std::io::Error::other)??)
}

/// What the model does until nobody can ask any more.
type Work = Box<dyn FnOnce()>;

/// The routes of a model, and its work.
fn routes(served: Served, settings: &Settings) -> (Router, Work) {
    let settings = settings.clone();
    match served.0 {
        Kind::Chat(vlm, processor) => {
            let (jobs, waiting) = channel();
            let cache_bytes = settings.cache_bytes;
            let generator = Generator { vlm: *vlm, processor: processor.clone(), cache_bytes };
            let num_rows = generator.num_rows();
            let num_asked = AtomicU64::new(0);
            let queue = Queue::new(settings, jobs);
            let chats = Chats { queue, processor, num_rows, num_asked };
            let route = Router::new().route("/v1/chat/completions", post(chat::answer));
            (route.with_state(Arc::new(chats)), Box::new(move || generator.work(&waiting)))
        }
        Kind::Reward(mut judge) => {
            let (jobs, waiting) = channel();
            let routes = Router::new()
                .route("/score", post(scores::score))
                .route("/v1/score", post(scores::score))
                .route("/classify", post(scores::classify))
                .route("/pooling", post(scores::pooling))
                .with_state(Arc::new(Scores(Queue::new(settings, jobs))));
            (routes, Box::new(move || judge::work(&mut judge, &waiting)))
        }
    }
}

/// The routes behind the key, the limit on bodies, and those that all models have.
fn guarded(routes: Router, settings: &Settings) -> Router {
    let model = json!({ "id": settings.name, "object": "model", "created": now(), "owned_by": "sightline" });
    let models = json!({ "object": "list", "data": [model] });
    routes
        .route("/v1/models", get(move || async move { Json(models) }))
        .layer(from_fn_with_state(settings.api_key.clone(), with_key))
        .route("/health", get(|| async {}))
        .layer(DefaultBodyLimit::max(settings.max_body_bytes))
}

/// Lets requests pass that bring the key.
async fn with_key(
    State(key): State<Option<ApiKey>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    match key {
        Some(key) if !given.is_some_and(|given| key.is_borne_by(given)) => {
            Err(Refusal::unauthorised())
        }
        _ => Ok(next.run(request).await),
    }
}

/// Waits for an interrupt or, where there are such, for the signal to end.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = told.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
