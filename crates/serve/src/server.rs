//! The routes, and the model behind them.

use std::hash::RandomState;
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
use tokio::sync::oneshot;

use crate::aside::Memory;
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

/// Serves until the process is interrupted or told to end; requests under way are answered first, unless they take
/// longer than the settings' grace, or the process is told a second time.
///
/// The model works on the thread that calls: it should be one of the pool's that kernels run in, which would else wait
/// while the others work.
///
/// # Errors
///
/// When the system refuses the socket, a thread or the signals.
pub fn serve(listener: TcpListener, served: Served, settings: Settings) -> Result<(), Error> {
    let runtime = runtime()?;
    let mut interrupts = {
        let _runtime = runtime.enter();
        Interrupts::new()?
    };
    let ((first, end), (second, stop)) = (oneshot::channel(), oneshot::channel());
    runtime.spawn(async move {
        interrupts.next().await;
        let _ = first.send(());
        interrupts.next().await;
        let _ = second.send(());
    });
    run(runtime, listener, (served, settings), (told(end), told(stop)))
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
    run(runtime()?, listener, (served, settings), (end, std::future::pending()))
}

fn runtime() -> std::io::Result<Runtime> {
    // What the model does not do is little.
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

async fn told(signal: oneshot::Receiver<()>) {
    let _ = signal.await;
}

/// Serves until `end`, and then requests under way until they are answered, `stop`, or the end of their grace.
fn run(
    runtime: Runtime,
    listener: TcpListener,
    (served, settings): (Served, Settings),
    (end, stop): (
        impl Future<Output = ()> + Send + 'static,
        impl Future<Output = ()> + Send + 'static,
    ),
) -> Result<(), Error> {
    let (routes, work) = routes(served, &settings);
    let routes = guarded(routes, &settings);
    listener.set_nonblocking(true)?;
    let serving = std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
        let (told, ending) = oneshot::channel();
        let end = async move {
            end.await;
            let _ = told.send(());
        };
        let late = async move {
            let _ = ending.await;
            let _ = tokio::time::timeout(settings.grace, stop).await;
        };
        let ended = runtime.block_on(listen(listener, routes, (end, late)));
        // Who is still there had the time: connections end with the runtime, and with them the model's work.
        runtime.shutdown_background();
        ended
    })?;
    // Until the routes are gone, and with them all who could ask.
    work();
    let ended = serving.join().map_err(|_| std::io::Error::other("the routes panicked"))?;
    Ok(ended?)
}

/// Listens until `end` and all requests are answered, or until it is `late`.
async fn listen(
    listener: TcpListener,
    routes: Router,
    (end, late): (impl Future<Output = ()> + Send + 'static, impl Future<Output = ()>),
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::select! {
        served = axum::serve(listener, routes).with_graceful_shutdown(end).into_future() => served,
        () = late => Ok(()),
    }
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
            let (queue, memory) = (Queue::new(settings, jobs), Memory::new());
            let (num_asked, seeds) = (AtomicU64::new(0), RandomState::new());
            let chats = Chats { queue, processor, num_rows, memory, num_asked, seeds };
            let route = Router::new().route("/v1/chat/completions", post(chat::answer));
            (route.with_state(Arc::new(chats)), Box::new(move || generator.work(&waiting)))
        }
        Kind::Reward(mut judge) => {
            let (jobs, waiting) = channel();
            let (queue, processor) = (Queue::new(settings, jobs), judge.processor().clone());
            let scores = Scores { queue, processor, memory: Memory::new() };
            let routes = Router::new()
                .route("/score", post(scores::score))
                .route("/v1/score", post(scores::score))
                .route("/classify", post(scores::classify))
                .route("/pooling", post(scores::pooling))
                .with_state(Arc::new(scores));
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

/// What tells the process to end: an interrupt or, where there are such, the signal to end.
struct Interrupts {
    #[cfg(unix)]
    told: tokio::signal::unix::Signal,
}

impl Interrupts {
    /// From now on; made within a runtime.
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        let told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        Ok(Self {
            #[cfg(unix)]
            told,
        })
    }

    /// Waits for the next.
    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.told.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
