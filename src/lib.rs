//! callthrough: a phone asks over the web, calls an access number, and is connected without a keypad tone.
//!
//! This page is the map. The story of a call is four files read in order: this one, [`callthrough`], [`call`], and
//! `b2bua/run.rs`.
//!
//! # The rooms, in reading order
//!
//! | room | caption |
//! |---|---|
//! | [`types`] | the words of the trade as values that cannot be wrong: numbers, money, ids, time, reasons to say no |
//! | [`call`] | the life of one call, as a state machine that touches nothing |
//! | [`callthrough`] | the product: "this phone calling that access number means this destination", for a minute |
//! | [`tenant`] [`people`] | the operator's customers, strictly apart; who keeps the books, what each may do, what each did |
//! | [`subscriber`] | who may call: subscribers, their verified numbers, credentials, devices |
//! | [`trunk`] | the carriers: where calls come from, who takes a call onward |
//! | [`rating`] | what a call costs, how long credit lasts: decks, rates, quotes |
//! | [`ledger`] | the prepaid books: accounts, entries, holds |
//! | [`cdr`] | what happened: one record a call |
//! | [`stats`] | how business goes: calls, talk, spend and answers by the hour |
//! | [`alert`] | what somebody should look at |
//! | [`fraud`] | where nobody may call: hotlists, and each tenant's own rules |
//! | [`geoip`] | which country an address is in |
//! | [`database`] | SQLite or PostgreSQL behind one door |
//! | [`sdp`] | reading and writing session descriptions (RFC 8866, 3264) |
//! | [`media`] | RTP in, RTP out: the relay, what it hears and how well (RFC 3550, 4733) |
//! | [`sip`] | messages, transactions, dialogs, transports (RFC 3261 and kin) |
//! | [`trace`] | what went over the wire: the messages of each call, without their secrets |
//! | [`b2bua`] | the switchboard: feeds calls their facts, carries out their orders |
//! | [`http`] | the doors that speak HTTP: softphones, the API |
//! | [`jobs`] | the night watch: expire, reconcile, refresh |
//! | [`config`] [`app`] [`command`] | settings; assembly and shutdown; what the command line can do |
//! | [`simulate`] | plays the phone |
//!
//! # Who may import whom
//!
//! ```text
//! main -> command -> app -> config
//!               |
//!         http    jobs                  doors and night watch: start and end calls only through b2bua::Handle
//!             \   /
//!             b2bua                     the switchboard
//!               |
//!          callthrough                  the product rules
//!               |
//! tenant people subscriber trunk rating ledger cdr stats alert fraud geoip    the books; each keeps its SQL in its store.rs
//!               |
//!  call    sip, media -> sdp    database       engines: call imports only types; sip knows nothing of calls
//!               |
//!             types                     imports nothing of ours
//! ```
//!
//! `tests/tidy.rs` holds this drawing as a table and fails with the offending line.
//!
//! # The two paths
//!
//! *The phone asks* (HTTP): `http/softphone` reads the request by the operator's mapping, `http/auth.rs` says who asks,
//! [`types::E164`] reads the number, [`callthrough`] checks it, chooses the access number and makes the reservation durable
//! before the answer leaves. No money moves.
//!
//! *The call arrives* (SIP): [`sip`] offers the INVITE, `b2bua/incoming.rs` finds trunk, caller and access number, the call
//! machine decides, `b2bua/books.rs` claims the reservation and holds credit in one database transaction, a trunk takes the
//! call onward, A is answered when B answers, and the end settles the hold and writes the CDR in one transaction.
//!
//! # What must stay absent
//!
//! * [`call`] has no `async`, no SIP, no SQL, no time of day.
//! * No float touches anything that charges.
//! * No door writes a CDR or a ledger entry; no door starts a call but through [`b2bua::Handle`].
//! * Nothing outside [`sip`] knows tags, branches or CSeq numbers.
//! * Time comes from [`types::Clock`], chance from [`types::Random`].

pub mod alert;
pub mod app;
pub mod b2bua;
pub mod call;
pub mod callthrough;
pub mod cdr;
pub mod command;
pub mod config;
pub mod database;
pub mod fraud;
pub mod geoip;
pub mod http;
pub mod jobs;
pub mod ledger;
pub mod media;
pub mod people;
pub mod rating;
pub mod sdp;
pub mod simulate;
pub mod sip;
pub mod stats;
pub mod subscriber;
pub mod tenant;
pub mod trace;
pub mod trunk;
pub mod types;
