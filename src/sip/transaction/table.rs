//! All transactions of a core: found by number, by branch, and by what makes two requests one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use slab::Slab;

use super::{Client, ClientInvite, Server, ServerInvite};
use crate::sip::leg::{LegId, RequestId};
use crate::sip::msg::{BRANCH_COOKIE, Message, Method};
use crate::sip::target::Address;
use crate::types::TrunkId;

/// Names a transaction; once it is over the name is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId {
    slot: u32,
    generation: u32,
}

/// One of the four machines.
#[derive(Debug)]
pub enum Machine {
    /// We sent an INVITE.
    ClientInvite(ClientInvite),
    /// We sent something else.
    Client(Client),
    /// We got an INVITE.
    ServerInvite(ServerInvite),
    /// We got something else.
    Server(Server),
}

/// Whom a transaction tells its news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Nobody: it only absorbs repeats.
    Nobody,
    /// The first INVITE of this leg.
    Invite(LegId),
    /// A request inside this leg's dialog.
    Request(LegId, RequestId),
    /// The BYE or CANCEL of this leg: only its end is of interest.
    Parting(LegId),
    /// The registration of this trunk.
    Register(TrunkId),
    /// The question to the address of this number whether it lives.
    Ping(u64),
}

impl User {
    /// The leg, if any.
    pub const fn leg(self) -> Option<LegId> {
        match self {
            Self::Nobody | Self::Register(_) | Self::Ping(_) => None,
            Self::Invite(leg) | Self::Request(leg, _) | Self::Parting(leg) => Some(leg),
        }
    }
}

/// What a transaction is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Ours: the number in our branch, and whether it is the CANCEL that shares it.
    Client(u64, bool),
    /// Theirs: see [`Keys::server`].
    Server(u128),
}

/// A transaction in the table.
#[derive(Debug)]
pub struct Transaction {
    /// Its machine.
    pub machine: Machine,
    /// Whom it tells.
    pub user: User,
    /// The socket it speaks by.
    pub socket: usize,
    /// Where it sends.
    pub to: Address,
    generation: u32,
    key: Key,
    merge: Option<u128>,
}

/// Makes keys that nobody outside can make collide.
#[derive(Debug, Default)]
pub struct Keys([RandomState; 2]);

impl Keys {
    /// RFC 3261 §17.2.3: branch, sent-by and method; for RFC 2543 the fields that take their place. ACK has the key of its INVITE.
    pub fn server(&self, request: &Message, method: &Method) -> u128 {
        let via = request.via();
        let method = if *method == Method::Ack { Method::Invite } else { method.clone() };
        if via.is_unique() {
            let port = via.port().unwrap_or(5060).to_be_bytes();
            let host = via.host_text().to_ascii_lowercase();
            return self.hash(&[via.branch().as_bytes(), host.as_bytes(), &port, method.as_str().as_bytes()]);
        }
        let cseq = request.cseq().number.to_be_bytes();
        let uri = request.request_uri().map_or(&b""[..], |uri| uri.as_bytes());
        let from = request.from_tag().unwrap_or("").as_bytes();
        self.hash(&[uri, from, request.call_id().as_bytes(), &cseq, via.as_bytes(), method.as_str().as_bytes()])
    }

    /// RFC 3261 §8.2.2.2: what two copies of one request have in common when they came by different ways.
    pub fn merge(&self, request: &Message) -> u128 {
        let cseq = request.cseq().number.to_be_bytes();
        let from = request.from_tag().unwrap_or("").as_bytes();
        self.hash(&[b"merge", from, request.call_id().as_bytes(), &cseq, request.method().as_str().as_bytes()])
    }

    /// A tag that a repeat of the same request gets again, without keeping anything (RFC 3261 §8.2.7).
    pub fn stateless_tag(&self, request: &Message) -> u64 {
        u64::try_from(self.server(request, request.method()) >> 64).unwrap_or_default()
    }

    fn hash(&self, parts: &[&[u8]]) -> u128 {
        let [high, low] = [&self.0[0], &self.0[1]].map(|state| {
            let mut hasher = state.build_hasher();
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            u128::from(hasher.finish())
        });
        (high << 64) | low
    }
}

/// The number in a branch of ours.
pub fn branch_number(branch: &str) -> Option<u64> {
    let digits = branch.strip_prefix(BRANCH_COOKIE)?;
    super::super::dialog::tag_number(digits)
}

/// All transactions.
#[derive(Debug, Default)]
pub struct Transactions {
    slab: Slab<Transaction>,
    by_key: HashMap<Key, TransactionId>,
    by_merge: HashMap<u128, TransactionId>,
    generation: u32,
}

impl Transactions {
    /// Puts one in.
    pub fn insert(&mut self, machine: Machine, user: User, socket: usize, to: Address, key: Key, merge: Option<u128>) -> TransactionId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = self.slab.insert(Transaction { machine, user, socket, to, generation, key, merge });
        let id = TransactionId { slot: u32::try_from(slot).expect("fewer than 2^32 transactions"), generation };
        self.by_key.insert(key, id);
        if let Some(merge) = merge {
            self.by_merge.entry(merge).or_insert(id);
        }
        id
    }

    /// The one of this name, unless it is over.
    pub fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.slab.get_mut(id.slot as usize).filter(|it| it.generation == id.generation)
    }

    /// The one of this name, unless it is over.
    pub fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.slab.get(id.slot as usize).filter(|it| it.generation == id.generation)
    }

    /// Finds one.
    pub fn find(&self, key: Key) -> Option<TransactionId> {
        self.by_key.get(&key).copied()
    }

    /// Whether another copy of this request is being dealt with.
    pub fn is_merged(&self, merge: u128) -> bool {
        self.by_merge.contains_key(&merge)
    }

    /// Takes one out.
    pub fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        self.get(id)?;
        let transaction = self.slab.try_remove(id.slot as usize)?;
        if self.by_key.get(&transaction.key) == Some(&id) {
            self.by_key.remove(&transaction.key);
        }
        if let Some(merge) = transaction.merge
            && self.by_merge.get(&merge) == Some(&id)
        {
            self.by_merge.remove(&merge);
        }
        Some(transaction)
    }

    /// Requests of ours that were sent by this socket to such an address.
    pub fn waiting_at(&self, socket: usize, at: impl Fn(&Address) -> bool) -> Vec<TransactionId> {
        let ours = |one: &Transaction| one.socket == socket && matches!(one.key, Key::Client(..)) && at(&one.to);
        let found = self.slab.iter().filter(|(_, one)| ours(one));
        found.filter_map(|(slot, one)| Some(TransactionId { slot: u32::try_from(slot).ok()?, generation: one.generation })).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none, in any of the tables.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty() && self.by_key.is_empty() && self.by_merge.is_empty()
    }
}
