//! The real binary as processes, each with a copy of the shipped pipeline in a folder of its own.
//!
//! A process ends with the value that holds it, whatever becomes of the test. What it should do is
//! for the tests to say.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::broker::now;

/// Longer than anything takes that is waited for, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The shipped pipeline in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    /// How often an instance was started: each has a log of its own.
    starts: AtomicU32,
}

impl Site {
    /// A copy of `pipelines/asean.toml` and what it names, for the brokers at `bootstrap`, with its
    /// state in its own folder and an address that the system chooses; and with each of `changes`,
    /// which must be in it. A member that is killed counts as gone after 6 s instead of 45.
    pub(crate) fn new(bootstrap: &str, changes: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("sightline-site-").tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        copy(&shipped.join("asean"), &folder.path().join("asean"));
        let mut text = fs::read_to_string(shipped.join("asean.toml")).unwrap();
        let client = format!(
            "client = {{ \"bootstrap.servers\" = \"{bootstrap}\" }}\nconsumer = {{ \"session.timeout.ms\" = \"6000\" }}"
        );
        let ours = [
            (r#"client = { "bootstrap.servers" = "localhost:9092" }"#, &*client),
            (r#"listen = "127.0.0.1:9600""#, r#"listen = "127.0.0.1:0""#),
        ];
        for (from, to) in ours.iter().chain(changes) {
            assert!(text.contains(from), "the shipped pipeline has no `{from}`");
            text = text.replace(from, to);
        }
        fs::write(folder.path().join("asean.toml"), text).unwrap();
        Self { folder, starts: AtomicU32::new(0) }
    }

    /// Loses the state on disk, as a new machine would have none.
    pub(crate) fn lose_state(&self) {
        fs::remove_dir_all(self.folder.path().join("state")).unwrap();
    }

    /// The pipeline file.
    pub(crate) fn pipeline(&self) -> PathBuf {
        self.folder.path().join("asean.toml")
    }

    /// Its folder, in which the pipeline's relative paths begin.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a subcommand on the pipeline to its end.
    pub(crate) fn sightline(&self, words: &[&str], more: &[&str]) -> Output {
        Command::new(binary())
            .args(words)
            .arg("--pipeline")
            .arg(self.pipeline())
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Starts `sightline run`.
    pub(crate) fn run(&self, name: &str, now: &str) -> Instance {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let said = self.folder.path().join(format!("{name}-{start}.log"));
        Instance::start(&self.pipeline(), name, said, &["--now", now])
    }
}

/// The binary that was built with the tests; another, such as a release build, by `SIGHTLINE_BINARY`.
fn binary() -> PathBuf {
    std::env::var_os("SIGHTLINE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_sightline").into()).into()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A `sightline run`.
pub(crate) struct Instance {
    name: String,
    pub(crate) child: Child,
    said: PathBuf,
}

impl Instance {
    /// Starts `sightline run` on a pipeline, with more words; it logs to `said`.
    pub(crate) fn start(pipeline: &Path, name: &str, said: PathBuf, more: &[&str]) -> Self {
        let child = Command::new(binary())
            .args(["run", "--instance", name, "--pipeline"])
            .arg(pipeline)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), child, said }
    }

    /// All that it logged so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |instance| instance.said().contains(text));
    }

    /// Waits until `done`; fails when the process ends before.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let until = now() + LONG;
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended ({ended:?}) before: {what}\n{}", self.name, self.said());
            assert!(now() < until, "{} didn't come to: {what}\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until all its lanes have joined their groups.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        self.wait_for("metrics and health are served");
        self.wait_until("/readyz says 200", |instance| instance.get("/readyz").0 == 200);
    }

    /// Where it serves; it must have said so.
    fn address(&self) -> SocketAddr {
        let said = self.said();
        let line = said.lines().find(|line| line.contains("metrics and health are served")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["fields"]["address"].as_str().unwrap().parse().unwrap()
    }

    /// Status and body of a page that it serves.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The sum of all series of a metric whose labels contain `labels`; none when there is no such series.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200);
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        let values: Vec<f64> = series.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Whether it has left.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended before:\n{}", self.said());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to leave, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Sends it a signal, by the name without `SIG`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{} took no {name}", self.name);
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has left by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(now() < until, "{} doesn't end:\n{}", self.name, self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
