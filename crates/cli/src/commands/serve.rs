//! `sightline serve`: a model behind HTTP.

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use openai::ApiKey;
use preprocess::Processor;
use serve::{Served, Settings, serve};

use super::assemble::is_reward_model;
use super::reward;
use crate::Context;
use crate::args::ServeArgs;
use crate::loaded::Loaded;

/// Where a server listens, for programs.
#[derive(serde::Serialize)]
struct Listening {
    url: String,
    model: String,
    routes: &'static [&'static str],
}

/// Serves until interrupted.
pub(crate) fn run(args: &ServeArgs, context: &Context) -> Result<()> {
    let settings = settings(args)?;
    let address = (args.host.as_str(), args.port);
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {}:{}", args.host, args.port))?;
    let local = listener.local_addr()?;
    if settings.api_key.is_none() && !local.ip().is_loopback() {
        context.progress.warn("whoever reaches this address may ask: there is no --api-key-env");
    }
    let adapter = args.model.adapter.as_deref();
    let (served, routes): (_, &[_]) = match is_reward_model(&args.model.model, adapter)? {
        true => (
            Served::reward(reward::open(&args.model, context)?),
            &["/score", "/classify", "/pooling"],
        ),
        false => {
            let processor = Processor::load(&args.model.model)?;
            let Loaded { vlm, .. } = Loaded::open(&args.model, &context.progress)?;
            (Served::chat(vlm, processor), &["/v1/chat/completions"])
        }
    };
    let listening =
        Listening { url: format!("http://{local}"), model: settings.name.clone(), routes };
    context.output.show(&listening, |listening| {
        let routes = listening.routes.join(", ");
        format!("{}: {} at {routes}", listening.url, listening.model)
    })?;
    Ok(serve(listener, served, settings)?)
}

fn settings(args: &ServeArgs) -> Result<Settings> {
    let folder = args.model.model.file_name().unwrap_or(Path::new("model").as_os_str());
    let folder = folder.to_string_lossy();
    let name = args.served_model_name.as_deref().unwrap_or(&folder);
    Ok(Settings {
        api_key: args.api_key_env.as_deref().map(ApiKey::from_env).transpose()?,
        max_new_tokens: args.max_new_tokens,
        separate_reasoning: args.separate_reasoning,
        cache_bytes: args.kv_cache_memory_bytes,
        max_requests: args.max_requests,
        ..Settings::new(name)
    })
}
