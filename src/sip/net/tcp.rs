//! Streams: listening, connecting, and one task a connection that reads, writes and watches the clock.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::framer::{Intake, Piece};
use crate::sip::transaction::TransactionId;
use crate::types::{Clock, Moment};

/// Connections the kernel keeps for us before we take them.
const BACKLOG: i32 = 512;
/// Until the far end takes our connection; then its next address is tried.
const CONNECT: Duration = Duration::from_millis(1_500);
/// Until everything handed to the kernel has been taken.
const WRITE: Duration = Duration::from_secs(10);
/// From the first byte of a message to its last.
const MESSAGE: Duration = Duration::from_secs(20);
/// From a connection's beginning to the end of its first message, of those who connect to us.
const FIRST: Duration = Duration::from_secs(30);
/// Until a ping is answered, by those who have answered one before.
const PONG: Duration = Duration::from_secs(10);
/// For the far end to close too.
const PART: Duration = Duration::from_secs(1);
/// Read at once.
const READ_BYTES: usize = 16 * 1024;
/// After a listener's error, so that it does not spin.
const PAUSE: Duration = Duration::from_millis(100);
/// RFC 5626 §4.4.1.
const PING: Bytes = Bytes::from_static(b"\r\n\r\n");
/// The answer to it.
const AGAIN: Bytes = Bytes::from_static(b"\r\n");

/// Names a connection; a name is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// What connections and listeners tell the task.
#[derive(Debug)]
pub enum News {
    /// Somebody connects.
    Accepted { socket: usize, stream: TcpStream, peer: SocketAddr },
    /// The far end has proved to have these names.
    Proved { flow: FlowId, names: Arc<[String]> },
    /// A message came.
    Message { flow: FlowId, bytes: Bytes },
    /// Nothing more can be read; what is still to be written goes first.
    Broken { flow: FlowId },
    /// It is over; these were not sent.
    Closed { flow: FlowId, unsent: Vec<TransactionId>, why: String },
}

/// A message on its way out, and who is told if it cannot leave.
pub type Parcel = (Bytes, Option<TransactionId>);

/// How long a connection may be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// It is closed when nothing at all has come or gone for this long.
    pub idle: Duration,
    /// We ask whether the far end is there when nothing has gone for this long; none asks never.
    pub ping: Option<Duration>,
}

/// Binds a listener.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Hands on whoever connects, until nobody wants to know.
pub async fn accept(socket: usize, listener: TcpListener, news: mpsc::Sender<News>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if news.send(News::Accepted { socket, stream, peer }).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, or gone before we came: others may still be served.
            Err(error) => {
                tracing::warn!("A SIP connection could not be taken: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Connects from one of our addresses.
pub async fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !from.ip().is_unspecified() {
        socket.bind(SocketAddr::new(from.ip(), 0))?;
    }
    let stream = tokio::time::timeout(CONNECT, socket.connect(to)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(stream)
}

/// Small messages leave at once, and a far end that is gone is found out by the kernel too.
pub fn tune(stream: &TcpStream) {
    // Both are only comfort.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_keepalive(true);
}

/// One connection's life after it is made.
pub struct Connection {
    pub id: FlowId,
    pub news: mpsc::Sender<News>,
    pub outbox: mpsc::Receiver<Parcel>,
    pub patience: Patience,
    pub clock: Clock,
    /// Whether the far end made it.
    pub accepted: bool,
}

impl Connection {
    /// Reads and writes until either end has had enough; then says so.
    pub async fn run(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let why = self.talk(stream).await.unwrap_or_else(|error| error.to_string());
        self.close(why).await;
    }

    /// Tells who the far end has proved to be, if anybody.
    pub async fn prove(&self, names: Vec<String>) {
        if !names.is_empty() {
            // Nobody to tell: the task is over.
            let _ = self.news.send(News::Proved { flow: self.id, names: names.into() }).await;
        }
    }

    /// Tells that it is over, and what was not sent.
    pub async fn close(mut self, why: String) {
        self.outbox.close();
        let unsent = std::iter::from_fn(|| self.outbox.try_recv().ok()).filter_map(|(_, transaction)| transaction).collect();
        // Nobody to tell: the task is over.
        let _ = self.news.send(News::Closed { flow: self.id, unsent, why }).await;
    }

    async fn talk(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> io::Result<String> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut intake = Intake::default();
        let born = self.clock.now();
        let mut watch = Watch { heard: born, said: born, begun: self.accepted.then_some(born + FIRST), asked: None, answers: false };
        let mut is_broken = false;
        loop {
            let due = watch.due(self.patience);
            tokio::select! {
                biased;
                parcel = self.outbox.recv() => {
                    let Some((bytes, transaction)) = parcel else {
                        part(&mut reader, &mut writer).await;
                        return Ok("it is not wanted any more".to_owned());
                    };
                    watch.said = self.clock.now();
                    if let Err(error) = write(&mut writer, &bytes).await {
                        if let Some(transaction) = transaction {
                            let unsent = vec![transaction];
                            let _ = self.news.send(News::Closed { flow: self.id, unsent, why: String::new() }).await;
                        }
                        return Err(error);
                    }
                }
                read = read(&mut reader, &mut intake), if !is_broken => {
                    if read? == 0 {
                        return Ok("the far end has closed it".to_owned());
                    }
                    watch.heard = self.clock.now();
                    let mut had_any = false;
                    while let Some(piece) = intake.next() {
                        match piece {
                            Piece::Message(bytes) => {
                                had_any = true;
                                if self.news.send(News::Message { flow: self.id, bytes }).await.is_err() {
                                    return Ok("we have stopped".to_owned());
                                }
                            }
                            Piece::Ping => write(&mut writer, &AGAIN).await?,
                            Piece::Pong => (watch.asked, watch.answers) = (None, true),
                            Piece::Broken(bytes) => {
                                is_broken = true;
                                let told = self.news.send(News::Message { flow: self.id, bytes }).await;
                                if told.is_err() || self.news.send(News::Broken { flow: self.id }).await.is_err() {
                                    return Ok("we have stopped".to_owned());
                                }
                                break;
                            }
                        }
                    }
                    if had_any || (watch.begun.is_none() && intake.is_waiting()) {
                        watch.begun = intake.is_waiting().then(|| watch.heard + MESSAGE);
                    } else if !intake.is_waiting() && !self.accepted {
                        watch.begun = None;
                    }
                }
                () = self.clock.sleep_until(due) => {
                    let now = self.clock.now();
                    if watch.begun.is_some_and(|at| at <= now) {
                        return Ok("a message took too long to come".to_owned());
                    }
                    if watch.asked.is_some_and(|at| at + PONG <= now) {
                        return Ok("the far end does not answer any more".to_owned());
                    }
                    if watch.heard.max(watch.said) + self.patience.idle <= now {
                        return Ok("nothing has come for long".to_owned());
                    }
                    if watch.ping_at(self.patience).is_some_and(|at| at <= now) {
                        write(&mut writer, &PING).await?;
                        watch.said = now;
                        watch.asked = watch.answers.then_some(now);
                    }
                }
            }
        }
    }
}

/// What a connection's clock is watched for.
struct Watch {
    heard: Moment,
    said: Moment,
    /// When a message that has begun must have ended.
    begun: Option<Moment>,
    /// When we asked whether the far end is there; only of those who answer.
    asked: Option<Moment>,
    /// The far end has answered once.
    answers: bool,
}

impl Watch {
    fn ping_at(&self, patience: Patience) -> Option<Moment> {
        patience.ping.filter(|_| self.asked.is_none()).map(|ping| self.said + ping)
    }

    fn due(&self, patience: Patience) -> Moment {
        let idle = self.heard.max(self.said) + patience.idle;
        [self.begun, self.asked.map(|at| at + PONG), self.ping_at(patience)].into_iter().flatten().fold(idle, Moment::min)
    }
}

/// Ends our half and lets the far end finish: what it still sends unread would make the kernel throw away our last words.
async fn part(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) {
    let all = async {
        writer.shutdown().await?;
        let mut rest = vec![0; READ_BYTES];
        while reader.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // It is over either way.
    let _ = tokio::time::timeout(PART, all).await;
}

async fn read(reader: &mut (impl AsyncRead + Unpin), intake: &mut Intake) -> io::Result<usize> {
    intake.buffer().reserve(READ_BYTES);
    reader.read_buf(intake.buffer()).await
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &Bytes) -> io::Result<()> {
    let all = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    tokio::time::timeout(WRITE, all).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
