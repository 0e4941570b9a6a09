//! Signals: SIGINT and SIGTERM ask to stop, SIGHUP to look at all files and let braked topics go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// What was asked for.
#[derive(Clone, Default)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Whether somebody asked to stop.
    pub(super) fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether somebody asked to reload since this was last called.
    pub(super) fn reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}

/// Listens from now on, on a thread that lives as long as the process.
pub(super) fn listen() -> anyhow::Result<Signals> {
    let signals = Signals::default();
    let heard = signals.clone();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("listening to signals")?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).context("listening to signals");
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?)
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => heard.stop.store(true, Ordering::Relaxed),
                        _ = terminate.recv() => heard.stop.store(true, Ordering::Relaxed),
                        _ = hangup.recv() => heard.reload.store(true, Ordering::Relaxed),
                    }
                }
            });
        })
        .context("listening to signals")?;
    Ok(signals)
}
