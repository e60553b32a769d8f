//! Where strangers' programs run: no network, nothing to write but a small folder in memory, little time and
//! memory; by bubblewrap, or by unshare and mount, whichever is there and keeps its word.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of output that are read.
const MAX_OUTPUT: u64 = 16 << 20;

/// Every mount becomes read-only, memory takes the place of `/tmp`, and the program is read from the file that was
/// open before.
const CONFINE: &str = r#"exec 3<"$1" || exit 96
mount --make-rprivate / || exit 97
while read -r _ _ _ _ place _; do mount -o remount,bind,ro "$place" 2>/dev/null; done < /proc/self/mountinfo
mount -t proc proc /proc && mount -t tmpfs -o size=256m tmpfs /tmp && cd /tmp || exit 98
shift
exec "$@" /dev/fd/3"#;

/// Asked of each way before it is trusted: it must not write and must not connect.
const PROBE: &str = "
import socket
try:
    open('PLACE', 'w')
    raise SystemExit('it can write')
except OSError:
    pass
try:
    socket.create_connection(('127.0.0.1', PORT), 2)
    raise SystemExit('it can connect')
except OSError:
    pass
print('confined')
";

/// A way to run programs that was tried and kept them in.
#[derive(Clone, Debug)]
pub struct Sandbox {
    way: Way,
    python: PathBuf,
    limits: Limits,
}

/// What a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time of one run; also seconds of processor time, rounded up.
    pub time: Duration,
    /// Bytes of its address space.
    pub memory: u64,
}

impl Default for Limits {
    /// Six seconds, as LiveCodeBench has it, and four gibibytes.
    fn default() -> Self {
        Self { time: Duration::from_secs(6), memory: 4 << 30 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bubblewrap,
    Unshare,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// Whether it ended by itself, with code 0.
    pub is_ok: bool,
    /// Whether its time was up.
    pub is_late: bool,
}

impl Ran {
    /// What stands behind the last such mark, of a program that ended well.
    pub(crate) fn behind(&self, mark: &str) -> Option<&str> {
        self.stdout.rsplit_once(mark).filter(|_| self.is_ok).map(|(_, told)| told.trim())
    }
}

/// What our own part of a program prints before its verdict: another one each time, so that what it runs cannot say it.
pub(crate) fn mark() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

impl Sandbox {
    /// The first way that is there and keeps a program in.
    ///
    /// # Errors
    /// What is wrong with each of them.
    pub fn find(python: &Path, limits: Limits) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for way in [Way::Bubblewrap, Way::Unshare] {
            let sandbox = Self { way, python: python.to_owned(), limits };
            match sandbox.probe() {
                Ok(()) => return Ok(sandbox),
                Err(reason) => reasons.push(format!("{way:?}: {reason}")),
            }
        }
        Err(format!("no sandbox for programs: {}", reasons.join("; ")))
    }

    fn probe(&self) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        // Something to connect to, should the network be there.
        let server =
            std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = server.local_addr().map_err(|error| error.to_string())?.port();
        let place = folder.path().join("written");
        let program =
            PROBE.replace("PLACE", &place.display().to_string()).replace("PORT", &port.to_string());
        let ran = self.run(&program, "")?;
        match ran.stdout.trim() == "confined" && !place.exists() {
            true => Ok(()),
            false => Err(format!("{}{}", ran.stdout.trim(), ran.stderr.trim())),
        }
    }

    /// Runs a Python program to its end or to its limits.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn run(&self, program: &str, input: &str) -> Result<Ran, String> {
        self.run_within(program, input, self.limits.time)
    }

    /// As [`Sandbox::run`], with a limit of time of its own.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn run_within(&self, program: &str, input: &str, time: Duration) -> Result<Ran, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = folder.path().join("program.py");
        std::fs::write(&file, program).map_err(|error| error.to_string())?;
        let mut command = self.command(&file, time);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| error.to_string())?;
        finish(child, input, time)
    }

    fn command(&self, file: &Path, time: Duration) -> Command {
        let mut command = match self.way {
            Way::Bubblewrap => {
                let mut command = Command::new("bwrap");
                command.args(["--unshare-all", "--die-with-parent", "--new-session"]);
                command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
                command.args(["--tmpfs", "/tmp", "--ro-bind"]).arg(file).arg("/tmp/program.py");
                command.args(["--chdir", "/tmp"]);
                command
            }
            Way::Unshare => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--net", "--pid", "--ipc", "--uts"]);
                command.args(["--mount", "--fork", "--kill-child", "sh", "-c", CONFINE, "sh"]);
                command.arg(file);
                command
            }
        };
        let seconds = time.as_secs_f64().ceil() as u64;
        command.arg("prlimit").arg(format!("--as={}", self.limits.memory));
        command.args([&format!("--cpu={seconds}"), "--nproc=512", "--fsize=67108864"]);
        command.arg(&self.python).arg("-I");
        if self.way == Way::Bubblewrap {
            command.arg("/tmp/program.py");
        }
        command
    }
}

/// Feeds a program and waits for it, not longer than its time and a second to start.
fn finish(mut child: Child, input: &str, time: Duration) -> Result<Ran, String> {
    let deadline = Instant::now() + time + Duration::from_secs(1);
    let (mut stdin, input) = (child.stdin.take(), input.to_owned());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // A program that does not read must not keep us waiting: nobody asks how the writing ended.
    let writer = std::thread::spawn(move || {
        stdin.as_mut().map(|pipe| pipe.write_all(input.as_bytes()).is_ok())
    });
    let readers =
        (std::thread::spawn(move || text(stdout)), std::thread::spawn(move || text(stderr)));
    let mut is_late = false;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                is_late = true;
                child.kill().map_err(|error| error.to_string())?;
                break child.wait().map_err(|error| error.to_string())?;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    drop(writer.join());
    let stdout = readers.0.join().unwrap_or_default();
    let stderr = readers.1.join().unwrap_or_default();
    Ok(Ran { stdout, stderr, is_ok: status.success(), is_late })
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is all there is.
        drop(pipe.take(MAX_OUTPUT).read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a machine has no sandbox there is nothing to run; that it is refused is tested in `code`.
    #[test]
    fn programs_are_kept_in() {
        let limits = Limits { time: Duration::from_secs(2), memory: 1 << 30 };
        let Ok(sandbox) = Sandbox::find(Path::new("python3"), limits) else { return };
        let ran = sandbox.run("print(sum(map(int, input().split())))", "3 4\n").unwrap();
        assert_eq!((ran.stdout.as_str(), ran.is_ok), ("7\n", true));
        let ran = sandbox.run("while True: pass", "").unwrap();
        assert!(!ran.is_ok, "{ran:?}");
        let ran = sandbox.run("import time; time.sleep(60)", "").unwrap();
        assert!(ran.is_late && !ran.is_ok, "{ran:?}");
        let ran = sandbox.run("a = bytearray(2 << 30)", "").unwrap();
        assert!(!ran.is_ok && ran.stderr.contains("MemoryError"), "{ran:?}");
        let ran = sandbox.run("import os; print(os.environ.get('HOME'), os.listdir('/tmp'))", "");
        assert!(ran.unwrap().stdout.starts_with("None"));
    }
}
