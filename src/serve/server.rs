//! [`Server`]: the socket a site is served on, its connections, and their end.
//!
//! What is sent is the site's business ([`Site`]); how much a client may ask of this machine is said
//! here: so many connections, heads of such a size in such a time, and no standing still.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Answer, Asked, BlobPart};
use super::body::{BlobFault, Body, FilePart};
use super::connection::Moving;
use super::error::ServeError;
use super::site::{Found, Site};
use crate::vocab::digest::Digest;

/// So many connections at once; more wait to be taken in. Each may hold an open file besides, and a
/// process may often have no more than 1024 of both.
const CONNECTIONS: usize = 400;
/// The most bytes that the head of a request may have.
const HEAD_SIZE: usize = 16 * 1024;
/// How long a head may take to come, and how long a connection may be idle before it.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// How long a connection may stand still.
const STILL: Duration = Duration::from_secs(60);
/// How long answers that are under way may take when the server is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait when the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// Told, in a sentence, of what the user should know although serving goes on; from any thread.
pub type Trouble = Arc<dyn Fn(String) + Send + Sync>;

/// A socket that is listened on.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `address`, a host or IP address with a port; port 0 is any that is free.
    ///
    /// # Errors
    /// [`ServeError::NoAddress`] when it is none, [`ServeError::Listen`] when it cannot be had.
    pub async fn bind(address: &str) -> Result<Self, ServeError> {
        let no_address = || ServeError::NoAddress { text: address.into() };
        let fail = |source| ServeError::Listen { address: address.into(), source };
        let listener = match address.parse::<SocketAddr>() {
            Ok(address) => TcpListener::bind(address).await,
            Err(_) => {
                let (host, port) = address.rsplit_once(':').ok_or_else(no_address)?;
                let port: u16 = port.parse().map_err(|_| no_address())?;
                if host.is_empty() || host.contains([':', '/', '[']) {
                    return Err(no_address());
                }
                TcpListener::bind((host, port)).await
            }
        };
        let listener = listener.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address })
    }

    /// Where it is, for a client on this machine, with a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        format!("http://{address}/")
    }

    /// What it listens on, with the port that was found for 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `site` until `stop` comes to its end. Then no connection is taken in any more, and
    /// answers that are under way have some seconds to end.
    pub async fn run(self, site: Site, trouble: Trouble, stop: impl Future<Output = ()>) {
        let service = Arc::new(Service { site, trouble });
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await;
                let place = place.expect("the semaphore is never closed");
                (self.listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                accepted = accept => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    tracing::trace!(%peer, "connected");
                    let connection =
                        Arc::clone(&service).connection(stream, graceful.watcher(), place);
                    tokio::spawn(connection);
                }
                Err(error) => service.not_accepted(&error).await,
            }
        }
        drop(self.listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::debug!("answers under way are cut off");
        }
    }
}

/// What every connection shares.
struct Service {
    site: Site,
    trouble: Trouble,
}

impl Service {
    /// One that was given up meanwhile is nobody's loss; when the system has none to give, others
    /// have to end first.
    async fn not_accepted(&self, error: &io::Error) {
        let given_up = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
        if !given_up.contains(&error.kind()) {
            (self.trouble)(format!("a connection cannot be taken in: {error}"));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Answers one request after the other until the client has no more.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        watcher: Watcher,
        place: OwnedSemaphorePermit,
    ) {
        // Answers are written whole, so waiting for more to send with them only costs time.
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Moving::new(stream, STILL));
        let service = service_fn(|request| {
            let service = Arc::clone(&self);
            async move { Ok::<_, Infallible>(service.respond(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_header_size(HEAD_SIZE)
            .serve_connection(stream, service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::trace!(%error, "a connection broke");
        }
        drop(place);
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        // A request that brings a body along is answered all the same; nobody reads it.
        let (head, _) = request.into_parts();
        let asked = Asked { method: &head.method, path: head.uri.path(), headers: &head.headers };
        let answer = match self.site.find(&asked) {
            Found::Answer(answer) => answer,
            Found::Log { key, name } => self.log(&asked, key, &name).await,
        };
        let (answer, body) = self.with_body(&asked, answer).await;
        let status = answer.status.as_u16();
        tracing::debug!(method = %asked.method, path = asked.path, status, "answered");
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    async fn log(self: &Arc<Self>, asked: &Asked<'_>, key: Digest, name: &str) -> Answer {
        let service = Arc::clone(self);
        match blocking(move || service.site.log(&key)).await {
            Ok(page) => Answer::page(asked, &page, "accept-encoding"),
            Err(fault) => self.fault(asked, name, &fault),
        }
    }

    /// The answer with its body; another one when its blob is not what it should be. Nothing is sent
    /// before that is known.
    async fn with_body(&self, asked: &Asked<'_>, mut answer: Answer) -> (Answer, Body) {
        let Some(BlobPart { digest, size, first, length, name }) = answer.blob.take() else {
            let body = Body::Bytes(std::mem::take(&mut answer.bytes));
            return (answer, body);
        };
        let length = if asked.method == Method::HEAD { 0 } else { length };
        let path = self.site.store().path(&digest);
        let (trouble, what) = (Arc::clone(&self.trouble), name.clone());
        let on_fault = Box::new(move |error: &io::Error| {
            trouble(format!("{what} could not be sent to its end: {error}"));
        });
        match blocking(move || FilePart::open(&path, size, first, length, on_fault)).await {
            Ok(part) => (answer, Body::File(part)),
            Err(fault) => {
                let mut answer = self.fault(asked, &name, &fault);
                let body = Body::Bytes(std::mem::take(&mut answer.bytes));
                (answer, body)
            }
        }
    }

    /// Says that a blob is not what it should be, to the user and to the client.
    fn fault(&self, asked: &Asked<'_>, name: &str, fault: &BlobFault) -> Answer {
        let text = format!("{name} cannot be served: {fault}");
        (self.trouble)(text.clone());
        let status = match fault {
            BlobFault::Missing => StatusCode::NOT_FOUND,
            BlobFault::Size { .. } | BlobFault::Read(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Answer::error(asked, status, &text)
    }
}

/// Runs `work` on a thread where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobFault> + Send + 'static,
) -> Result<T, BlobFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(BlobFault::Read(io::Error::other(error))))
}
