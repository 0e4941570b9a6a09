//! Watches the files of a running pipeline: reference data, agreements, model, terms. What changed is
//! loaded, checked and swapped as a whole; a bad file keeps the old generation, loudly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tracing::{error, info, warn};

use crate::config::{Loaded, knowledge};
use crate::diag::Findings;
use crate::enrich::replace_check;
use crate::serve::Metrics;
use crate::stage::knowledge::Shared;

/// How often the files are looked at. A rename replaces a file whole, so that polling misses nothing.
const EVERY: Duration = Duration::from_secs(5);

/// A running watch.
pub(super) struct Watch {
    wake: Sender<()>,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Looks at all files now.
    pub(super) fn look_now(&self) {
        if self.wake.send(()).is_err() {
            warn!("the watcher of files has ended");
        }
    }

    /// Ends it.
    pub(super) fn stop(self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.wake);
        if self.thread.join().is_err() {
            error!("the watcher of files panicked");
        }
    }
}

/// What tells one state of a file from another.
type Look = Option<(SystemTime, u64)>;

fn look(path: &Path) -> Look {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

fn look_at(loaded: &Loaded) -> BTreeMap<PathBuf, Look> {
    loaded.files.iter().map(|path| (path.clone(), look(path))).collect()
}

/// Starts watching the files of a pipeline.
pub(super) fn start(
    pipeline: PathBuf,
    loaded: &Loaded,
    shared: Shared,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Watch> {
    let mut seen = look_at(loaded);
    let (wake, woken) = channel::<()>();
    let ending = Arc::new(AtomicBool::new(false));
    let ends = ending.clone();
    let thread = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            loop {
                let told = woken.recv_timeout(EVERY).is_ok();
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let now: BTreeMap<PathBuf, Look> =
                    seen.keys().map(|path| (path.clone(), look(path))).collect();
                if now == seen && !told {
                    continue;
                }
                // Looked at once before it was read: what changes meanwhile is seen the next time.
                seen = now;
                if let Some(loaded) = reload(&pipeline, &shared, &metrics) {
                    seen.extend(
                        look_at(&loaded)
                            .into_iter()
                            .filter(|(path, _)| !seen.contains_key(path))
                            .collect::<Vec<_>>(),
                    );
                }
            }
        })
        .context("starting the watcher of files")?;
    Ok(Watch { wake, ending, thread })
}

/// Loads everything anew; swaps it if it is good.
fn reload(pipeline: &Path, shared: &Shared, metrics: &Metrics) -> Option<Loaded> {
    let mut findings = Findings::default();
    let loaded = super::load(pipeline, &mut findings);
    let Some(loaded) = loaded else {
        error!("a file changed and what it says is wrong; the old one is kept:\n{}", findings.render());
        metrics.reference("pipeline", Err(()), super::clock().0);
        return None;
    };
    if !findings.is_empty() {
        warn!("{}", findings.render());
    }
    let held = shared.load();
    let mut enrichers = loaded.enrichers.clone();
    for new in &mut enrichers {
        let Some(old) = held.enrichers.iter().find(|old| old.name() == new.name()) else { continue };
        if let Err(err) = replace_check(&old.loaded(), &new.loaded(), super::clock()) {
            error!(source = new.name(), "new data is refused, the old is kept: {err}");
            metrics.reference(new.name(), Err(()), super::clock().0);
            *new = old.clone();
        }
    }
    let loaded = Loaded { enrichers, ..loaded };
    shared.store(Arc::new(knowledge(&loaded)));
    info!("files changed: loaded, checked and swapped");
    show_builds(&loaded, metrics);
    Some(loaded)
}

/// Shows which data is in use, and how old it is.
pub(super) fn show_builds(loaded: &Loaded, metrics: &Metrics) {
    let now = super::clock().0;
    metrics.reference("pipeline", Ok(None), now);
    for enricher in &loaded.enrichers {
        let oldest = enricher.loaded().iter().filter_map(|file| file.built).min();
        metrics.reference(enricher.name(), Ok(oldest.map(|at| at.0)), now);
    }
}
