//! HTTP for whoever operates the process: metrics, and whether it is alive, ready, started.
//!
//! It runs on a thread of its own, so that busy lanes don't make the probes slow and slow clients
//! don't hold up the lanes. It changes nothing: there is no command here, and no record.

pub mod health;
pub mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::sync::oneshot;

pub use health::{Health, Report};
pub use metrics::{Known, Metrics};

/// Why the server doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("cannot listen on {address}: {cause}; choose another `listen`")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The system gives no thread or no event queue.
    #[error("cannot start the server: {0}")]
    Start(std::io::Error),
}

/// The server.
#[derive(Debug)]
pub struct Serve;

impl Serve {
    /// Listens, and serves until the handle is dropped: `/metrics` in Prometheus' text format,
    /// `/livez`, `/readyz` and `/startupz` as JSON with each check, 503 when one fails.
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn start(
        listen: SocketAddr,
        health: Arc<Health>,
        registry: Registry,
    ) -> Result<ServeHandle, ServeError> {
        let failed = |cause| ServeError::Listen { address: listen, cause };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServeError::Start)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("serve".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let serving = async {
                        let listener = tokio::net::TcpListener::from_std(listener)?;
                        axum::serve(listener, router(health, registry)).await
                    };
                    // Nothing here is worth a farewell: a probe that is cut off is asked again.
                    tokio::select! {
                        served = serving => if let Err(error) = served {
                            tracing::error!(event = "serve-failed", %error);
                        },
                        _ = stopped => {}
                    }
                });
            })
            .map_err(ServeError::Start)?;
        Ok(ServeHandle { addr, stop: Some(stop), thread: Some(thread) })
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct ServeHandle {
    /// Where it listens; with the port that the system chose, when port 0 was asked for.
    pub addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ServeHandle {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "serve-panicked");
        }
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    registry: Registry,
}

fn router(health: Arc<Health>, registry: Registry) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async |State(shared): State<Shared>| report(&shared.health.live())))
        .route("/readyz", get(async |State(shared): State<Shared>| report(&shared.health.ready())))
        .route("/startupz", get(async |State(shared): State<Shared>| report(&shared.health.startup())))
        .with_state(Shared { health, registry })
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(event = "metrics-failed", %error);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn report(report: &Report) -> Response {
    let status = if report.passes() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, report.to_json()).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    fn ask(addr: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[test]
    fn probes_and_metrics_are_served_and_the_port_is_free_afterwards() {
        let clock = Arc::new(AtomicI64::new(1_000));
        let reading = clock.clone();
        let health =
            Arc::new(Health::new(Duration::from_secs(60), Box::new(move || reading.load(Ordering::Relaxed))));
        health.add_lane("assess-0", Arc::new(AtomicI64::new(1_000)));
        let registry = Registry::new();
        Metrics::register(&registry, &Known::default()).unwrap();
        let handle = Serve::start("127.0.0.1:0".parse().unwrap(), health.clone(), registry).unwrap();
        let addr = handle.addr;

        assert_eq!(
            ask(addr, "/startupz"),
            (503, r#"{"status":"fail","checks":[{"name":"started","status":"fail","detail":"the group was not joined yet"}]}"#.to_owned())
        );
        health.start();
        assert_eq!(ask(addr, "/startupz").0, 200);
        assert_eq!(ask(addr, "/readyz").0, 200);
        assert_eq!(ask(addr, "/livez").0, 200);
        clock.store(62_000, Ordering::Relaxed);
        let (status, body) = ask(addr, "/livez");
        assert_eq!(status, 503);
        assert!(body.contains("lane assess-0") && body.contains("61 s"), "{body}");
        assert_eq!(ask(addr, "/readyz").0, 200, "readiness is no liveness");
        let (status, body) = ask(addr, "/metrics");
        assert_eq!(status, 200);
        assert!(body.contains("sightline_build_info{"), "{body}");
        assert_eq!(ask(addr, "/admin").0, 404);

        drop(handle);
        TcpListener::bind(addr).unwrap();
    }

    #[test]
    fn an_address_in_use_is_said() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let health = Arc::new(Health::new(Duration::from_secs(60), Box::new(|| 0)));
        let error = Serve::start(addr, health, Registry::new()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {addr}: ")), "{error}");
    }
}
