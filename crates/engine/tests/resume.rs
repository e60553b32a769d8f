//! Runs that are stopped, killed, damaged or out of disk, and go on bit for bit.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Toy, bits, config, parameters, tokens};
use engine::{
    CheckpointConfig, Checkpoints, Engine, Error, Event, Observer, Run, RunParts, SavedFile, Start,
    TaskState,
};
use serde_json::json;

const MAX_STEPS: u64 = 20;
const WEIGHTS: &str = "trainable.safetensors";

/// How a toy run is made.
struct Toys<'a> {
    folder: &'a Path,
    save_steps: u64,
    save_total_limit: Option<u64>,
    config_hash: &'a str,
    max_steps: u64,
    /// Sleep of a step, so that a kill finds the run alive.
    pause: Duration,
}

impl<'a> Toys<'a> {
    fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            save_steps: 5,
            save_total_limit: None,
            config_hash: "c0ffee",
            max_steps: MAX_STEPS,
            pause: Duration::ZERO,
        }
    }

    /// Runs from `start` up to `stop` and returns the bits of the parameters.
    ///
    /// The batches depend on a counter that is the task's own state, and on a file it keeps.
    fn run(&self, start: &Start, stop: u64) -> Result<Vec<u32>, Error> {
        self.observed(start, stop, Box::new(|_| ()))
    }

    fn observed(&self, start: &Start, stop: u64, observer: Observer) -> Result<Vec<u32>, Error> {
        let saving = CheckpointConfig {
            save_steps: self.save_steps,
            save_total_limit: self.save_total_limit,
        };
        let checkpoints = Checkpoints::open(self.folder, saving, WEIGHTS)?;
        let engine = Engine::new(parameters(), config(self.max_steps))?;
        let config_hash = self.config_hash.to_owned();
        let mut toy = Toy::new();
        let parts = RunParts { engine, checkpoints, config_hash, observer };
        let (mut run, resumed) = Run::start(parts, &mut toy, start)?;
        let (mut next, mut replay) = (0, vec![1]);
        if let Some(resumed) = resumed {
            next = resumed.task.value["next"].as_u64().expect("a counter");
            replay = resumed.task.files[0].bytes.clone();
            assert_eq!(resumed.task.value["odd"], json!(0.1 + 0.2 * next as f64));
        }
        while !run.is_finished() && run.engine().steps_taken() < stop {
            let shift = u64::from(replay[replay.len() - 1]);
            let report = run.step(&mut toy, &[tokens(next + shift, 4), tokens(next + 100, 3)])?;
            next += 7;
            replay.push((next % 251) as u8);
            run.record(&report, || TaskState {
                value: json!({"next": next, "odd": 0.1 + 0.2 * next as f64}),
                files: vec![SavedFile { name: "replay.bin".into(), bytes: replay.clone() }],
            })?;
            std::thread::sleep(self.pause);
        }
        Ok(bits(run.engine().parameters()))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder).expect("the output folder is there");
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<String> = entries.filter_map(name).collect();
        names.retain(|name| name.contains("checkpoint"));
        names.sort();
        names
    }

    fn logged_steps(&self) -> Vec<u64> {
        let text =
            std::fs::read_to_string(self.folder.join("metrics.jsonl")).expect("the log is there");
        let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON");
        text.lines().map(|text| line(text)["step"].as_u64().expect("a step")).collect()
    }
}

fn uninterrupted() -> Vec<u32> {
    let home = tempfile::tempdir().expect("a temporary folder");
    Toys::new(home.path()).run(&Start::Fresh, MAX_STEPS).expect("nothing stops this run")
}

fn all_steps(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

#[test]
fn resumed_equals_uninterrupted() {
    let expected = uninterrupted();
    for stop in [5, 7, 13, 19] {
        let home = tempfile::tempdir().unwrap();
        let toys = Toys::new(home.path());
        assert_ne!(toys.run(&Start::Fresh, stop).unwrap(), expected);
        assert_eq!(toys.run(&Start::Latest, MAX_STEPS).unwrap(), expected, "stopped at {stop}");
        assert_eq!(toys.logged_steps(), all_steps(MAX_STEPS));
    }
}

#[test]
fn the_log_of_a_resumed_run_equals_that_of_an_uninterrupted_one() {
    let log = |stops: &[u64]| {
        let home = tempfile::tempdir().unwrap();
        stops
            .iter()
            .for_each(|&stop| drop(Toys::new(home.path()).run(&Start::Latest, stop).unwrap()));
        std::fs::read_to_string(home.path().join("metrics.jsonl")).unwrap()
    };
    assert_eq!(log(&[MAX_STEPS]), log(&[8, 12, MAX_STEPS]));
}

#[test]
fn latest_without_a_checkpoint_starts_afresh() {
    let home = tempfile::tempdir().unwrap();
    let toys = Toys::new(home.path());
    toys.run(&Start::Latest, 3).unwrap();
    assert_eq!(toys.run(&Start::Latest, MAX_STEPS).unwrap(), uninterrupted());
    assert_eq!(toys.logged_steps(), all_steps(MAX_STEPS));
}

#[test]
fn a_named_checkpoint_of_another_folder_can_be_continued() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Toys::new(one.path()).run(&Start::Fresh, 12).unwrap();
    let start = Start::Checkpoint(one.path().join("checkpoint-5"));
    assert_eq!(Toys::new(two.path()).run(&start, MAX_STEPS).unwrap(), uninterrupted());
    let error = Toys::new(one.path()).run(&start, MAX_STEPS).unwrap_err();
    assert!(matches!(error, Error::CheckpointAhead { step: 5, .. }), "{error}");
    let error = Toys::new(one.path()).run(&Start::Fresh, MAX_STEPS).unwrap_err();
    assert!(error.to_string().contains("checkpoint-10 lies ahead of step 0"), "{error}");
}

#[test]
fn the_last_checkpoints_are_kept() {
    for (limit, expected) in [(1, &["checkpoint-20"][..]), (2, &["checkpoint-15", "checkpoint-20"])]
    {
        let home = tempfile::tempdir().unwrap();
        let toys = Toys { save_total_limit: Some(limit), ..Toys::new(home.path()) };
        toys.run(&Start::Fresh, MAX_STEPS).unwrap();
        assert_eq!(toys.names(), expected);
    }
}

#[test]
fn the_last_step_is_saved_off_the_beat_too() {
    let home = tempfile::tempdir().unwrap();
    let toys = Toys { save_steps: 8, ..Toys::new(home.path()) };
    toys.run(&Start::Fresh, MAX_STEPS).unwrap();
    assert_eq!(toys.names(), ["checkpoint-16", "checkpoint-20", "checkpoint-8"]);
}

#[test]
fn an_incomplete_folder_makes_no_good_one_go() {
    let home = tempfile::tempdir().unwrap();
    let toys = Toys { save_total_limit: Some(1), ..Toys::new(home.path()) };
    std::fs::create_dir(home.path().join("checkpoint-4")).unwrap();
    toys.run(&Start::LatestValid, 5).unwrap();
    assert_eq!(toys.names(), ["checkpoint-4.corrupt", "checkpoint-5"]);
}

#[test]
fn leftovers_of_a_kill_are_cleared() {
    let home = tempfile::tempdir().unwrap();
    let toys = Toys::new(home.path());
    for name in [".checkpoint-5.partial", ".checkpoint-1.removed"] {
        std::fs::create_dir(home.path().join(name)).unwrap();
        std::fs::write(home.path().join(name).join(WEIGHTS), "half").unwrap();
    }
    toys.run(&Start::Fresh, 5).unwrap();
    assert_eq!(toys.names(), ["checkpoint-5"]);
}

#[test]
fn a_checkpoint_about_to_be_replaced_outlives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let toys = Toys::new(home.path());
    toys.run(&Start::Fresh, 12).unwrap();
    let (newest, replaced) =
        (home.path().join("checkpoint-10"), home.path().join(".checkpoint-10.replaced"));
    // Before its successor appeared it is put back; after that it goes.
    std::fs::rename(&newest, &replaced).unwrap();
    toys.run(&Start::Latest, 12).unwrap();
    assert_eq!(toys.names(), ["checkpoint-10", "checkpoint-5"]);
    std::fs::create_dir(&replaced).unwrap();
    assert_eq!(toys.run(&Start::Latest, MAX_STEPS).unwrap(), uninterrupted());
    assert!(!replaced.exists());
}

/// Flips one byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file to damage");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file to damage");
}

#[test]
fn a_corrupt_checkpoint_names_the_file_and_is_passed_over_only_when_asked() {
    for file in [WEIGHTS, "optimizer.safetensors", "trainer_state.json", "replay.bin"] {
        let home = tempfile::tempdir().unwrap();
        let toys = Toys::new(home.path());
        toys.run(&Start::Fresh, 12).unwrap();
        damage(&home.path().join("checkpoint-10").join(file));

        let message = toys.run(&Start::Latest, MAX_STEPS).unwrap_err().to_string();
        assert!(message.contains(&format!("checkpoint-10/{file} is corrupt")), "{message}");

        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let observer: Observer = Box::new(move |event| match event {
            Event::SetAside { path, .. } => log.lock().unwrap().push(path.to_path_buf()),
            Event::Resumed { path, .. } | Event::Saved { path, .. } => {
                log.lock().unwrap().push(path.to_path_buf())
            }
            Event::Step(_) => (),
        });
        assert_eq!(
            toys.observed(&Start::LatestValid, MAX_STEPS, observer).unwrap(),
            uninterrupted()
        );
        let names: Vec<PathBuf> =
            seen.lock().unwrap().iter().map(|path| path.file_name().unwrap().into()).collect();
        let expected = [
            "checkpoint-10.corrupt",
            "checkpoint-5",
            "checkpoint-10",
            "checkpoint-15",
            "checkpoint-20",
        ];
        assert_eq!(names, expected.map(PathBuf::from));
    }
}

#[test]
fn another_config_is_refused_with_both_hashes() {
    let home = tempfile::tempdir().unwrap();
    Toys::new(home.path()).run(&Start::Fresh, 5).unwrap();
    let other = Toys { config_hash: "decaf", ..Toys::new(home.path()) };
    for start in [Start::Latest, Start::LatestValid] {
        let message = other.run(&start, MAX_STEPS).unwrap_err().to_string();
        assert!(message.contains("c0ffee") && message.contains("decaf"), "{message}");
    }
}

#[test]
fn one_folder_serves_one_run() {
    let home = tempfile::tempdir().unwrap();
    let saving = CheckpointConfig { save_steps: 1, save_total_limit: None };
    let first = Checkpoints::open(home.path(), saving.clone(), WEIGHTS).unwrap();
    let error = Checkpoints::open(home.path(), saving.clone(), WEIGHTS).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(first);
    Checkpoints::open(home.path(), saving, WEIGHTS).unwrap();
}

#[test]
fn useless_checkpoint_settings_are_named() {
    for (save_steps, limit, key) in [(0, None, "save_steps"), (1, Some(0), "save_total_limit")] {
        let config = CheckpointConfig { save_steps, save_total_limit: limit };
        assert!(config.validate().unwrap_err().to_string().starts_with(key));
    }
    assert!(serde_json::from_str::<CheckpointConfig>(r#"{"save_steps": 1, "keep": 2}"#).is_err());
}

const CHILD_FOLDER: &str = "ENGINE_TEST_CHILD_FOLDER";
const CHILD_STEPS: u64 = 400;

fn child_toys(folder: &Path) -> Toys<'_> {
    Toys { save_steps: 3, save_total_limit: Some(2), max_steps: CHILD_STEPS, ..Toys::new(folder) }
}

/// Not a test by itself: what the two tests below run in a process of their own.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let toys = Toys { pause: Duration::from_millis(2), ..child_toys(Path::new(&folder)) };
    if let Err(error) = toys.run(&Start::Latest, CHILD_STEPS) {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        panic!("{error}: {}", source.unwrap_or_default());
    }
}

/// Goes on to the end in this process, and compares with a run that nothing ever stopped.
fn finish_and_compare(folder: &Path) {
    let toys = Toys { save_steps: CHILD_STEPS, ..child_toys(folder) };
    let resumed = toys.run(&Start::Latest, CHILD_STEPS).expect("the newest checkpoint is whole");
    assert_eq!(toys.logged_steps(), all_steps(CHILD_STEPS));
    let home = tempfile::tempdir().expect("a temporary folder");
    let whole = Toys { folder: home.path(), ..toys };
    assert_eq!(resumed, whole.run(&Start::Fresh, CHILD_STEPS).expect("nothing stops this run"));
}

fn newest_step(folder: &Path) -> u64 {
    let names = child_toys(folder).names();
    let step = |name: &String| name.strip_prefix("checkpoint-")?.parse().ok();
    names.iter().filter_map(step).max().unwrap_or(0)
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    let mut num_kills = 0;
    for target in [0, 10, 40, 41, 90] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(CHILD_FOLDER, home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while newest_step(home.path()) <= target && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        num_kills += u64::from(!child.wait().unwrap().success());
    }
    assert_eq!(num_kills, 5, "the last at step {}", newest_step(home.path()));
    assert!(newest_step(home.path()) < CHILD_STEPS);
    finish_and_compare(home.path());
}

/// The shell caps the size of every file the child writes, a disk that is full for all it can tell.
/// `trainer_state.json` grows with its log lines, so saving fails in the middle of the run.
#[cfg(unix)]
#[test]
fn a_full_disk_stops_the_run_and_the_previous_checkpoint_survives() {
    let home = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let script = format!("trap '' XFSZ; ulimit -f 20; exec '{}' --exact child", exe.display());
    let output =
        Command::new("sh").args(["-c", &script]).env(CHILD_FOLDER, home.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(".partial/trainer_state.json"), "{said}");
    let survivor = newest_step(home.path());
    assert!(survivor > 0 && survivor < CHILD_STEPS, "{survivor}");
    assert!(child_toys(home.path()).names().iter().all(|name| !name.ends_with(".partial")));
    finish_and_compare(home.path());
}
