//! The connections there are: which one a message goes by, how many there may be, and from whom (RFC 5923, RFC 3261 §18).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::tcp::{self, Connection, FlowId, News, Parcel, Patience};
use super::tls::Tls;
use crate::types::Clock;

/// Messages that may wait for one connection; a far end that lets them pile up higher loses it.
const OUTBOX: usize = 256;
/// What connections tell us that may wait; then they wait, and with them who sends to us.
const NEWS: usize = 1_024;

/// How many connections there may be, and how quiet.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In all; strangers may have half of them.
    pub most: usize,
    /// Of one stranger's address.
    pub most_of_one: usize,
    /// See [`Patience::idle`].
    pub idle: Duration,
    /// See [`Patience::ping`].
    pub ping: Option<Duration>,
}

/// A message could not be given to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// All connections of an endpoint.
pub struct Flows {
    bounds: Bounds,
    open: HashMap<FlowId, Flow>,
    /// By the far end, and by where it says it listens.
    by_peer: HashMap<(usize, SocketAddr), FlowId>,
    by_source: HashMap<IpAddr, usize>,
    next: u64,
    sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    tasks: JoinSet<()>,
    tls: Tls,
    clock: Clock,
}

/// How a connection is to be made.
pub struct Call {
    /// The socket it belongs to.
    pub socket: usize,
    /// Our end.
    pub from: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whose certificate the far end must show; none means the address's own.
    pub domain: Option<String>,
}

struct Flow {
    socket: usize,
    peer: SocketAddr,
    listens: Option<SocketAddr>,
    /// Gone once nothing more may be sent.
    outbox: Option<mpsc::Sender<Parcel>>,
    accepted: bool,
}

impl Flows {
    /// None yet.
    pub fn new(bounds: Bounds, tls: Tls, clock: Clock) -> Self {
        let (sender, news) = mpsc::channel(NEWS);
        Self {
            bounds,
            open: HashMap::new(),
            by_peer: HashMap::new(),
            by_source: HashMap::new(),
            next: 0,
            sender,
            news,
            tasks: JoinSet::new(),
            tls,
            clock,
        }
    }

    /// Takes connections here from now on.
    pub fn listen(&mut self, socket: usize, listener: tokio::net::TcpListener) {
        self.tasks.spawn(tcp::accept(socket, listener, self.sender.clone()));
    }

    /// What happens next.
    pub async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                biased;
                Some(news) = self.news.recv() => return news,
                // Only to forget those that are over.
                Some(_) = self.tasks.join_next() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// The same if it has happened already.
    pub fn more_news(&mut self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Whether there is room for one more from there, who is a stranger.
    pub fn has_room_for(&self, source: IpAddr) -> bool {
        self.open.len() < self.bounds.most / 2 && self.by_source.get(&source).is_none_or(|count| *count < self.bounds.most_of_one)
    }

    /// Whether there is room for one more at all.
    pub fn has_room(&self) -> bool {
        self.open.len() < self.bounds.most
    }

    /// Keeps a connection that somebody has made to us.
    pub fn accepted(&mut self, socket: usize, tls: bool, stream: TcpStream, peer: SocketAddr) {
        tcp::tune(&stream);
        let (_, connection) = self.add(socket, peer, true);
        if !tls {
            self.tasks.spawn(connection.run(stream));
            return;
        }
        let tls = self.tls.clone();
        self.tasks.spawn(async move {
            match tls.accept(stream).await {
                Ok((stream, names)) => {
                    connection.prove(names).await;
                    connection.run(stream).await;
                }
                Err(error) => connection.close(format!("TLS: {error}")).await,
            }
        });
    }

    /// Sends by the connection to `to`, or else to `open`, which is made if there is none.
    pub fn send(&mut self, call: Call, to: SocketAddr, open: SocketAddr, parcel: Parcel) -> Result<(), NotTaken> {
        let Call { socket, from, tls, domain } = call;
        let known = [to, open].iter().find_map(|peer| self.by_peer.get(&(socket, *peer)).copied());
        let flow = match known {
            Some(flow) => flow,
            None if self.has_room() => {
                let (flow, connection) = self.add(socket, open, false);
                let tls = tls.then(|| self.tls.clone());
                self.tasks.spawn(async move {
                    let stream = match tcp::connect(from, open).await {
                        Ok(stream) => stream,
                        Err(error) => return connection.close(format!("it cannot be made: {error}")).await,
                    };
                    tcp::tune(&stream);
                    let Some(tls) = tls else { return connection.run(stream).await };
                    match tls.connect(stream, domain.as_deref(), open.ip()).await {
                        Ok(stream) => connection.run(stream).await,
                        Err(error) => {
                            tracing::warn!(sip.to = %open, domain, "A carrier is not reached by TLS: {error}. Check its certificate and sip.tls.ca.");
                            connection.close(format!("TLS: {error}")).await;
                        }
                    }
                });
                flow
            }
            None => return Err(NotTaken),
        };
        let outbox = self.open.get(&flow).and_then(|flow| flow.outbox.as_ref()).ok_or(NotTaken)?;
        let taken = outbox.try_send(parcel);
        taken.map_err(|_| {
            // It does not read what we say: better a new connection than a full one.
            self.forget_outbox(flow);
            NotTaken
        })
    }

    /// What is for `listens` goes by this connection from now on.
    pub fn alias(&mut self, socket: usize, source: SocketAddr, listens: SocketAddr) {
        let Some(id) = self.by_peer.get(&(socket, source)).copied() else { return };
        if let Some(flow) = self.open.get_mut(&id).filter(|flow| flow.accepted)
            && flow.listens.replace(listens) != Some(listens)
        {
            self.by_peer.insert((socket, listens), id);
        }
    }

    /// Whose connection it is: the socket and the far end.
    pub fn ends(&self, flow: FlowId) -> Option<(usize, SocketAddr)> {
        self.open.get(&flow).map(|flow| (flow.socket, flow.peer))
    }

    /// Nothing more is sent by it; it ends when what waits has gone.
    pub fn forget_outbox(&mut self, id: FlowId) {
        if let Some(flow) = self.open.get_mut(&id) {
            flow.outbox = None;
            let (socket, names) = (flow.socket, [Some(flow.peer), flow.listens]);
            for name in names.into_iter().flatten() {
                self.forget_name(socket, name, id);
            }
        }
    }

    /// It is over: the socket it belonged to, and the names it went by.
    pub fn closed(&mut self, id: FlowId) -> Option<(usize, Vec<SocketAddr>)> {
        self.forget_outbox(id);
        let flow = self.open.remove(&id)?;
        if flow.accepted
            && let Some(count) = self.by_source.get_mut(&flow.peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&flow.peer.ip());
            }
        }
        Some((flow.socket, [Some(flow.peer), flow.listens].into_iter().flatten().collect()))
    }

    fn forget_name(&mut self, socket: usize, name: SocketAddr, id: FlowId) {
        if self.by_peer.get(&(socket, name)) == Some(&id) {
            self.by_peer.remove(&(socket, name));
        }
    }

    fn add(&mut self, socket: usize, peer: SocketAddr, accepted: bool) -> (FlowId, Connection) {
        self.next += 1;
        let id = FlowId(self.next);
        let (sender, outbox) = mpsc::channel(OUTBOX);
        self.open.insert(id, Flow { socket, peer, listens: None, outbox: Some(sender), accepted });
        self.by_peer.insert((socket, peer), id);
        if accepted {
            *self.by_source.entry(peer.ip()).or_default() += 1;
        }
        let Bounds { idle, ping, .. } = self.bounds;
        let patience = Patience { idle, ping };
        (id, Connection { id, news: self.sender.clone(), outbox, patience, clock: self.clock.clone(), accepted })
    }
}
