//! Files of the Hugging Face hub: from its own cache, else by plain HTTPS.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use crate::catalog::{HubFile, HubSource};
use crate::manifest::sha256_of;
use crate::progress::{Reporter, Step};
use crate::settings::Settings;

/// A machine without a way out should learn it soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is silent for so long is dead; the download is continued with another.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TRIES: usize = 3;
const CHUNK: usize = 1 << 18;
/// Bytes of a listing of files.
const MAX_LISTING: u64 = 16 << 20;

/// The hub, as the settings describe it. Errors are reasons, to which the caller adds what was asked for.
pub(crate) struct Hub<'a> {
    settings: &'a Settings,
    agent: Agent,
}

/// What the hub says of a file before it is downloaded. A mirror may say nothing.
#[derive(Debug, Default)]
struct Remote {
    sha256: Option<String>,
    commit: Option<String>,
}

impl<'a> Hub<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let config = Agent::config_builder()
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .http_status_as_error(false)
            // The token is for the hub, not for the storage it redirects to.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent("sightline")
            .build();
        Self { settings, agent: config.new_agent() }
    }

    /// Copies all files into `folder` from the hub's own cache; the commit they belong to, or `None` when one is missing.
    pub(crate) fn copy_cached(
        &self,
        source: &HubSource,
        folder: &Path,
    ) -> Result<Option<String>, String> {
        let Some((commit, snapshot)) = self.snapshot(source) else { return Ok(None) };
        if source.files.iter().any(|f| f.required && !snapshot.join(&*f.name).is_file()) {
            return Ok(None);
        }
        for file in source.files.iter().filter(|f| snapshot.join(&*f.name).is_file()) {
            let from = snapshot.join(&*file.name);
            fs::copy(&from, folder.join(&*file.name))
                .map_err(|e| format!("{}: {e}", from.display()))?;
        }
        Ok(Some(commit))
    }

    fn snapshot(&self, source: &HubSource) -> Option<(String, PathBuf)> {
        let repo = match source.repo.starts_with("datasets/") {
            true => source.repo.replace('/', "--"),
            false => format!("models--{}", source.repo.replace('/', "--")),
        };
        let repo = self.settings.hub_cache.as_ref()?.join(repo);
        let commit =
            fs::read_to_string(repo.join("refs").join(source.revision)).ok()?.trim().to_owned();
        let is_plain = !commit.is_empty() && commit.bytes().all(|b| b.is_ascii_alphanumeric());
        is_plain.then(|| (commit.clone(), repo.join("snapshots").join(commit)))
    }

    /// Downloads all files into `folder`, keeping what is broken off in `partials`; returns the commit or revision.
    pub(crate) fn download(
        &self,
        source: &HubSource,
        folder: &Path,
        partials: &Path,
        reporter: &mut Reporter<'_>,
    ) -> Result<String, String> {
        let mut revision = source.revision.to_owned();
        for file in source.files.iter() {
            let url = format!(
                "{}/{}/resolve/{revision}/{}",
                self.settings.hub_endpoint,
                source.repo,
                escaped(&file.name)
            );
            let at = |reason: String| format!("{url}: {reason}");
            let Some(remote) = self.look_up(&url, file).map_err(at)? else { continue };
            let download = Download {
                hub: self,
                url: &url,
                file,
                sha256: remote.sha256.as_deref(),
                folder,
                partials,
            };
            download.run(reporter).map_err(at)?;
            // The other files shall be of the same commit, whatever happens to the branch meanwhile.
            revision = remote.commit.unwrap_or(revision);
        }
        Ok(revision)
    }

    /// The paths of all files of a repository.
    pub(crate) fn files(&self, repo: &str) -> Result<Vec<String>, String> {
        let endpoint = &self.settings.hub_endpoint;
        let mut url = Some(format!("{endpoint}/api/{repo}/tree/main?recursive=true"));
        let mut names = Vec::new();
        while let Some(page) = url {
            let at = |reason: String| format!("{page}: {reason}");
            let mut response =
                self.authorized(self.agent.get(&page)).call().map_err(|e| at(e.to_string()))?;
            if response.status().as_u16() != 200 {
                return Err(at(refusal(response.status().as_u16())));
            }
            url = next_page(response.headers());
            let text = response.body_mut().with_config().limit(MAX_LISTING).read_to_string();
            let text = text.map_err(|e| at(e.to_string()))?;
            let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| at(e.to_string()))?;
            let files = entries.into_iter().filter(|entry| entry.kind == "file");
            names.extend(files.map(|entry| entry.path).filter(|path| is_inside(path)));
        }
        Ok(names)
    }

    /// Asks for the headers alone, which the hub sends before it redirects to its storage.
    fn look_up(&self, url: &str, file: &HubFile) -> Result<Option<Remote>, String> {
        let request =
            self.agent.head(url).config().max_redirects(0).max_redirects_will_error(false).build();
        let response = self.authorized(request).call().map_err(|e| e.to_string())?;
        let header =
            |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        match response.status().as_u16() {
            200..=399 => {
                let tag = header(response.headers(), "x-linked-etag")
                    .map(|tag| tag.trim_matches('"').to_owned());
                let sha256 =
                    tag.filter(|tag| tag.len() == 64 && tag.bytes().all(|b| b.is_ascii_hexdigit()));
                let commit = header(response.headers(), "x-repo-commit");
                let commit = commit
                    .filter(|c| !c.is_empty() && c.bytes().all(|b| b.is_ascii_alphanumeric()));
                Ok(Some(Remote { sha256: sha256.map(|s| s.to_ascii_lowercase()), commit }))
            }
            404 if !file.required => Ok(None),
            // A server that does not know HEAD may still know GET.
            405 | 501 => Ok(Some(Remote::default())),
            status => Err(refusal(status)),
        }
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.settings.hub_token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

/// An entry of a listing.
#[derive(serde::Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// The address between `<` and `>` in `Link: <…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get("link")?.to_str().ok()?;
    let (address, rest) = link.strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then(|| address.to_owned())
}

/// A path as part of an address.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let byte = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

/// Whether a path stays in the folder that it is joined to.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn refusal(status: u16) -> String {
    match status {
        401 | 403 => format!("status {status}: is HF_TOKEN needed?"),
        _ => format!("status {status}"),
    }
}

/// One file on its way.
struct Download<'a> {
    hub: &'a Hub<'a>,
    url: &'a str,
    file: &'a HubFile,
    sha256: Option<&'a str>,
    folder: &'a Path,
    partials: &'a Path,
}

impl Download<'_> {
    /// Downloads, checks and moves the file into the folder.
    fn run(&self, reporter: &mut Reporter<'_>) -> Result<(), String> {
        // Without a sum nothing would tell whether two halves belong together: such a file starts anew.
        let partial = self.partials.join(self.sha256.unwrap_or("unknown"));
        if self.sha256.is_none() {
            remove(&partial)?;
        }
        let mut failures = Vec::new();
        while failures.len() < MAX_TRIES {
            match self.fill(&partial, reporter) {
                Ok(()) => return self.accept(&partial),
                Err(Failure::Refused(reason)) => return Err(reason),
                Err(Failure::Broken(reason)) => failures.push(reason),
            }
            if self.sha256.is_none() {
                remove(&partial)?;
            }
        }
        Err(failures.pop().expect("at least one try"))
    }

    /// Appends to the partial file what it lacks.
    fn fill(&self, partial: &Path, reporter: &mut Reporter<'_>) -> Result<(), Failure> {
        let mut file =
            OpenOptions::new().create(true).append(true).open(partial).map_err(disk(partial))?;
        let have = file.metadata().map_err(disk(partial))?.len();
        let mut request = self.hub.agent.get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response =
            self.hub.authorized(request).call().map_err(|e| Failure::Broken(e.to_string()))?;
        match response.status().as_u16() {
            206 if starts_at(response.headers(), have) => {
                self.append(&mut file, have, response, reporter)
            }
            200 => {
                file.set_len(0).map_err(disk(partial))?;
                self.append(&mut file, 0, response, reporter)
            }
            // Nothing lies behind the end of a file that is already whole.
            416 if self.sha256.is_some() => Ok(()),
            status @ (206 | 416 | 500..) => Err(Failure::Broken(refusal(status))),
            status => Err(Failure::Refused(refusal(status))),
        }
    }

    fn append(
        &self,
        file: &mut File,
        have: u64,
        response: Response<Body>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Failure> {
        let total = response.body().content_length().map(|rest| rest.saturating_add(have));
        let too_large = || Failure::Refused(format!("more than {} bytes", self.file.max_bytes));
        if total.is_some_and(|total| total > self.file.max_bytes) {
            return Err(too_large());
        }
        let (mut reader, mut buffer, mut done) =
            (response.into_body().into_reader(), vec![0; CHUNK], have);
        loop {
            reporter.report(Step::Hub(self.file.name.clone().into_owned()), done, total);
            let len = reader.read(&mut buffer).map_err(|e| Failure::Broken(e.to_string()))?;
            done += len as u64;
            if done > self.file.max_bytes {
                return Err(too_large());
            }
            if len == 0 {
                break;
            }
            file.write_all(&buffer[..len]).map_err(disk(self.partials))?;
        }
        match total {
            Some(total) if total != done => {
                Err(Failure::Broken(format!("it broke off at byte {done} of {total}")))
            }
            _ => Ok(()),
        }
    }

    /// Checks what can be checked of a complete file and moves it into the folder.
    fn accept(&self, partial: &Path) -> Result<(), String> {
        let verdict = match self.sha256 {
            Some(expected) => match sha256_of(partial).map_err(|e| e.to_string())? {
                found if found == expected => Ok(()),
                found => Err(format!("SHA-256 is {found}, expected {expected}")),
            },
            // A login page of some network between us and the hub is no JSON.
            None if self.file.name.ends_with(".json") => is_json(partial),
            None => Ok(()),
        };
        if verdict.is_err() {
            remove(partial)?;
            return verdict;
        }
        let path = self.folder.join(&*self.file.name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        }
        fs::rename(partial, path).map_err(|e| e.to_string())
    }
}

/// Why a download stopped.
enum Failure {
    /// Trying again would not help.
    Refused(String),
    /// The connection failed; what has arrived is kept.
    Broken(String),
}

fn disk(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::Refused(format!("{}: {e}", path.display()))
}

fn starts_at(headers: &HeaderMap, have: u64) -> bool {
    let range = headers.get("content-range").and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

fn is_json(path: &Path) -> Result<(), String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    file.rewind().map_err(|e| e.to_string())?;
    let parsed: Result<serde::de::IgnoredAny, _> =
        serde_json::from_reader(std::io::BufReader::new(file));
    parsed.map(drop).map_err(|e| format!("the answer is no JSON: {e}"))
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {e}", path.display()))
        }
        _ => Ok(()),
    }
}
