//! Connections: how many there are, how long they may be idle, and TLS on them.
//!
//! In: a bound socket. Out: streams for axum's server. Invariants: a slow or silent peer holds its own connection and
//! nothing else: handshakes run in tasks of their own, their number and time are bounded; a connection on which no
//! request is being answered is closed after [`IDLE_SECONDS`], however many bytes drip in, and one whose peer takes
//! nothing of an answer after [`STALL_SECONDS`]. HTTP/1.1 only: within HTTP/2 a peer says itself how much it takes, and
//! what waits for it is not seen here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::error::{Error, Result};
use crate::limits::{CONNECTIONS, HANDSHAKE_SECONDS, IDLE_SECONDS, STALL_SECONDS};

/// Pause after the system could not accept, such as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What a peer says first that speaks HTTP/2 unasked; no request of HTTP/1.1 begins so.
const HTTP2: &[u8] = b"PRI * HTTP/2";

/// A listening socket, with TLS or without.
pub struct Door {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<(Wire, SocketAddr)>>,
}

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    idle: Duration,
    stall: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { idle: Duration::from_secs(IDLE_SECONDS), stall: Duration::from_secs(STALL_SECONDS) }
    }
}

/// Who is at the other end, and what is answered there now.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: SocketAddr,
    in_flight: Arc<AtomicUsize>,
}

impl Peer {
    /// A request on this connection is being answered as long as this lives.
    pub(super) fn answering(&self) -> Answering {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Answering(self.in_flight.clone())
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<AtomicUsize>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self { address: *stream.remote_addr(), in_flight: stream.io().in_flight.clone() }
    }
}

impl Door {
    /// A door at `address`, with TLS where an acceptor is given.
    ///
    /// # Errors
    /// Unavailable when the address is taken.
    pub async fn open(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self> {
        let taken =
            |e: io::Error| Error::unavailable(format!("cannot listen on {address}; name another address")).because(e);
        let tcp = TcpListener::bind(address).await.map_err(taken)?;
        let (bounds, places) = (Bounds::default(), Arc::new(Semaphore::new(CONNECTIONS)));
        Ok(Self { tcp, tls, bounds, places, handshakes: JoinSet::new() })
    }

    /// Where it is.
    ///
    /// # Errors
    /// Internal when the system does not tell.
    pub fn address(&self) -> Result<SocketAddr> {
        self.tcp.local_addr().map_err(|e| Error::internal("a bound socket has no address").because(e))
    }

    /// The next connection that the system has, once there is a place for it.
    async fn next(tcp: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                std::future::pending::<()>().await;
                continue;
            };
            match tcp.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    return (stream, peer, place);
                }
                Err(e) if is_of_one_peer(&e) => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

fn is_of_one_peer(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(ready)) = done {
                        return ready;
                    }
                }
                (stream, peer, place) = Self::next(&self.tcp, &self.places) => {
                    let bounds = self.bounds;
                    let Some(tls) = self.tls.clone() else {
                        return (Wire::new(Stream::Plain(stream), bounds, place), peer);
                    };
                    self.handshakes.spawn(async move {
                        let shaken = timeout(Duration::from_secs(HANDSHAKE_SECONDS), tls.accept(stream)).await;
                        let stream = shaken.ok()?.ok()?;
                        Some((Wire::new(Stream::Tls(Box::new(stream)), bounds, place), peer))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection.
pub struct Wire {
    stream: Stream,
    bounds: Bounds,
    in_flight: Arc<AtomicUsize>,
    /// When it has been idle for too long.
    idle: Pin<Box<Sleep>>,
    /// Whether nothing was answered or written since `idle` began.
    is_idle: bool,
    /// When its peer has taken nothing for too long; none while nothing waits to be taken.
    stall: Option<Pin<Box<Sleep>>>,
    /// Bytes of [`HTTP2`] that came; none once the peer has said something else.
    preface: Option<usize>,
    /// Frees its place when it is closed.
    _place: OwnedSemaphorePermit,
}

impl Wire {
    fn new(stream: Stream, bounds: Bounds, place: OwnedSemaphorePermit) -> Self {
        let idle = Box::pin(sleep(bounds.idle));
        let (in_flight, preface) = (Arc::default(), Some(0));
        Self { stream, bounds, in_flight, idle, is_idle: true, stall: None, preface, _place: place }
    }

    /// Fails where the peer begins to speak HTTP/2; `came` is what it said next.
    fn check_preface(&mut self, came: &[u8]) -> io::Result<()> {
        let Some(before) = self.preface else { return Ok(()) };
        let is_it = HTTP2.iter().skip(before).zip(came).all(|(expected, byte)| expected == byte);
        self.preface = is_it.then(|| before + came.len());
        match self.preface {
            Some(length) if length >= HTTP2.len() => Err(io::ErrorKind::InvalidData.into()),
            _ => Ok(()),
        }
    }

    /// Fails where nothing was asked for too long.
    fn check_idle(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_idle = self.in_flight.load(Ordering::Acquire) == 0;
        if !is_idle || !self.is_idle {
            self.idle.as_mut().reset(Instant::now() + self.bounds.idle);
        }
        self.is_idle = is_idle;
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Fails where the peer took nothing for too long; `written` is what the stream said.
    fn check_stall<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            // Whoever takes an answer slowly is not idle.
            self.is_idle = false;
            return written;
        }
        let bound = self.bounds.stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(bound)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.check_idle(cx)?;
        let before = buf.filled().len();
        let read = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        this.check_preface(buf.filled().get(before..).unwrap_or_default())?;
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.check_stall(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        this.check_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.check_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closed = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        this.check_stall(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const IDLE: Duration = Duration::from_millis(100);

    async fn pair() -> (Wire, TcpStream) {
        let mut door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)), None).await.unwrap();
        door.bounds = Bounds { idle: IDLE, stall: IDLE };
        let address = door.address().unwrap();
        let (accepted, stream) = tokio::join!(door.accept(), TcpStream::connect(address));
        (accepted.0, stream.unwrap())
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed_however_many_bytes_drip_in() {
        let (mut wire, mut peer) = pair().await;
        let dripping = tokio::spawn(async move {
            while peer.write_all(b"x").await.is_ok() {
                sleep(IDLE / 20).await;
            }
        });
        let begun = Instant::now();
        let mut byte = [0];
        let err = loop {
            if let Err(e) = wire.read_exact(&mut byte).await {
                break e;
            }
        };
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= IDLE / 2);
        dripping.abort();
    }

    #[tokio::test]
    async fn a_connection_on_which_a_request_is_answered_stays() {
        let (mut wire, mut peer) = pair().await;
        let told = Peer { address: SocketAddr::from(([127, 0, 0, 1], 1)), in_flight: wire.in_flight.clone() };
        let answering = told.answering();
        let late = tokio::spawn(async move {
            sleep(IDLE * 3).await;
            peer.write_all(b"x").await.unwrap();
            peer
        });
        let mut byte = [0];
        wire.read_exact(&mut byte).await.unwrap();
        drop(answering);
        assert_eq!(told.in_flight.load(Ordering::Acquire), 0);
        drop(late.await.unwrap());
        assert_eq!(wire.read(&mut byte).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_peer_that_speaks_http_2_is_left_however_slowly_it_says_so() {
        let (mut wire, mut peer) = pair().await;
        let mut bytes = [0; 64];
        peer.write_all(b"PRI *").await.unwrap();
        assert_eq!(wire.read(&mut bytes).await.unwrap(), 5);
        peer.write_all(b" HTTP/2.0\r\n").await.unwrap();
        assert_eq!(wire.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (mut wire, mut peer) = pair().await;
        peer.write_all(b"PUT / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(wire.read(&mut bytes).await.unwrap(), 18);
        // Within a body it may stand.
        peer.write_all(HTTP2).await.unwrap();
        assert_eq!(wire.read(&mut bytes).await.unwrap(), HTTP2.len());
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_of_an_answer_is_left() {
        let (mut wire, peer) = pair().await;
        let block = vec![0u8; 1 << 20];
        let err = loop {
            if let Err(e) = wire.write_all(&block).await {
                break e;
            }
        };
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        drop(peer);
    }
}
