//! Listens, bounds what strangers may send, and stops in peace.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::{BoxError, Router};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::error::Problem;
use super::tls::Certificates;

/// What the last answers may take when the server stops.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// Bytes of all header lines.
const HEADERS: usize = 16 * 1024;
/// Header lines.
const HEADER_LINES: usize = 100;
/// Bytes of a request's target.
const URL: usize = 8 * 1024;
/// Bytes of a body, unless the route has a bound of its own.
pub const BODY: usize = 16 * 1024;
/// Bytes the connection reads ahead; above the bounds, so that a little too much gets an answer with a message.
const READ_AHEAD: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// How long accepting rests when the system has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection; handlers find it among the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The address the connection came from; a proxy's, when there is one.
    pub address: SocketAddr,
    /// Whether the connection is encrypted up to us.
    pub tls: bool,
}

/// How much and how long strangers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; more wait.
    pub connections: usize,
    /// From accepting to the end of the request's head, and between two requests.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 4096, head: Duration::from_secs(10), body: Duration::from_secs(20) }
    }
}

/// Serves `router` on `listener` until `stop`, then lets the requests that are being answered end.
pub async fn serve(listener: TcpListener, certificates: Option<Certificates>, router: Router, bounds: Bounds, stop: CancellationToken) {
    let service = bounded(router);
    let places = Arc::new(Semaphore::new(bounds.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    if let Some(certificates) = certificates.clone() {
        tokio::spawn(certificates.watch(stop.clone()));
    }
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                // Taking a place first leaves those who wait in the system's own bounded queue.
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        let (Ok(place), Ok((stream, address))) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (service, certificates, watcher) = (service.clone(), certificates.clone(), graceful.watcher());
        let stop = stop.clone();
        tokio::spawn(async move {
            let _place = place;
            let served = async {
                stream.set_nodelay(true)?;
                match certificates {
                    None => {
                        let newer = timeout(bounds.head, speaks_http2(&stream)).await??;
                        connection(stream, newer, Peer { address, tls: false }, bounds, service, watcher).await
                    }
                    Some(certificates) => {
                        let stream = timeout(bounds.head, certificates.acceptor().accept(stream)).await??;
                        let newer = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        connection(stream, newer, Peer { address, tls: true }, bounds, service, watcher).await
                    }
                }
            };
            // A connection that waits for its first byte owes nobody an answer.
            let ended: Result<(), BoxError> = tokio::select! {
                ended = served => ended,
                () = async { stop.cancelled().await; tokio::time::sleep(FAREWELL_TIME).await } => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(peer = %address, %error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if timeout(FAREWELL_TIME, graceful.shutdown()).await.is_err() {
        tracing::info!("closed connections that took too long to end");
    }
}

/// Whether the first bytes are those of HTTP/2 with prior knowledge (RFC 9113 §3.4): no method begins with `PRI`.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 3];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 3 || !b"PRI".starts_with(&first[..seen]) || seen == 0 {
            return Ok(&first == b"PRI");
        }
        // One or two bytes that may become PRI: look again when there are more. The caller's time limit ends the wait.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    newer: bool,
    peer: Peer,
    bounds: Bounds,
    service: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), BoxError> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if newer { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.head).max_headers(HEADER_LINES).max_buf_size(READ_AHEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(READ_AHEAD).expect("a small bound"))
        .keep_alive_interval(bounds.head)
        .keep_alive_timeout(bounds.head);
    let answer = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let service = service.clone();
        async move {
            let body_time = BodyTime(Arc::default());
            let mut request = request.map(|body| Body::new(TimedBody::new(body, bounds.body, body_time.0.clone())));
            request.extensions_mut().insert(body_time);
            request.extensions_mut().insert(peer);
            let response = service.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
            Ok::<_, Infallible>(response)
        }
    });
    watcher.watch(builder.serve_connection(TokioIo::new(stream), answer).into_owned()).await
}

/// The router with everything that holds for every door.
pub fn bounded(router: Router) -> Router {
    router.layer(DefaultBodyLimit::max(BODY)).layer(from_fn(guard))
}

/// Bounds of the head, headers of every answer, and an answer even when a handler panics.
async fn guard(request: Request, next: Next) -> Response {
    let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let mut response = match check_head(&request) {
        Ok(()) => caught(next.run(request)).await,
        Err(problem) => problem.into_response(),
    };
    let defaults: [(HeaderName, &'static str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    let headers = response.headers_mut();
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

fn check_head(request: &Request) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > URL {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "The address is longer than 8 KiB. Send less, or send it in the body.",
        ));
    }
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > HEADERS || headers.len() > HEADER_LINES {
        let message = "The headers are larger than 16 KiB or more than 100 lines. Send fewer.";
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message));
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Problem::bad_request("There is more than one Host header. Send one."));
    }
    Ok(())
}

/// The answer of `handler`, or a 500 with a message if it panics.
async fn caught(handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
        Ok(Poll::Ready(response)) => Poll::Ready(response),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Problem::fault(&"a handler panicked").into_response()),
    })
    .await
}

/// A body that has to arrive in time.
struct TimedBody {
    body: Incoming,
    time: Pin<Box<Sleep>>,
    limit: Duration,
    patient: Arc<AtomicBool>,
}

/// Among the request's extensions: a route whose body is large by nature asks for time by progress instead of in all.
#[derive(Debug, Clone)]
pub struct BodyTime(Arc<AtomicBool>);

impl BodyTime {
    /// From here on the time limit counts from the last piece that arrived.
    pub fn by_progress(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct TooSlow;

impl TimedBody {
    fn new(body: Incoming, limit: Duration, patient: Arc<AtomicBool>) -> Self {
        Self { body, time: Box::pin(tokio::time::sleep(limit)), limit, patient }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                if self.patient.load(Ordering::Relaxed) {
                    self.time = Box::pin(tokio::time::sleep(self.limit));
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => self.time.as_mut().poll(context).map(|()| Some(Err(TooSlow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
