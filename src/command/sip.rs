//! `callthrough sip`: what goes over the wire, from a running server by its API.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::{Failure, on_runtime};
use crate::types::CallId;

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Sip {
    /// Print the messages of a call, or of calls as they go on; the server keeps them where `trace.calls` says so
    Trace(Trace),
}

#[derive(Debug, clap::Args)]
pub(super) struct Trace {
    /// One call by its id, up or over, such as `call_…`; without it the calls that are up are followed until you stop it
    #[arg(long)]
    call: Option<CallId>,
    /// Follow calls from or to numbers with these digits
    #[arg(long, conflicts_with = "call")]
    number: Option<String>,
    /// Follow calls that come or go by the trunk of this name
    #[arg(long, conflicts_with = "call")]
    trunk: Option<String>,
    /// Write the messages of the call to this file, for Wireshark or sngrep
    #[arg(long, requires = "call", value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Print the whole text of each message
    #[arg(long)]
    text: bool,
    /// Where the server's web door is
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "CALLTHROUGH_SERVER")]
    server: String,
    /// A key of the operator's that may read
    #[arg(long, env = "CALLTHROUGH_KEY", hide_env_values = true)]
    key: String,
}

/// How often it is looked whether there is more.
const EVERY: Duration = Duration::from_secs(1);
/// Calls that are followed at once: the API bounds requests a minute.
const MOST_FOLLOWED: usize = 5;
/// Looks at a call that is over: its last words come late.
const LAST_LOOKS: u32 = 3;
/// What an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Sip {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Trace(trace) = self;
        on_runtime(async {
            let api = Api::new(&trace)?;
            match trace.call {
                Some(call) => trace.one(&api, call).await,
                None => trace.follow(&api).await,
            }
        })
    }
}

impl Trace {
    async fn one(&self, api: &Api, call: CallId) -> Result<(), Failure> {
        let path = format!("/calls/{call}/messages");
        if let Some(file) = &self.pcap {
            let bytes = api.get(&format!("{path}?format=pcap")).await?;
            let written = std::fs::write(file, &bytes);
            return written.map_err(|error| Failure::other(format!("{} cannot be written: {error}. Name another file", file.display())));
        }
        self.print(&read(&api.get(&path).await?)?, 0);
        Ok(())
    }

    /// Prints what is new of the calls that fit, until somebody stops it.
    async fn follow(&self, api: &Api) -> Result<(), Failure> {
        let mut followed: BTreeMap<String, Followed> = BTreeMap::new();
        loop {
            let calls = read(&api.get("/calls?limit=500").await?)?;
            let up: Vec<_> = calls["items"].as_array().into_iter().flatten().filter(|call| self.fits(call)).collect();
            for id in up.iter().filter_map(|call| call["id"].as_str()) {
                if followed.len() < MOST_FOLLOWED && !followed.contains_key(id) {
                    println!("{id}");
                    followed.insert(id.to_owned(), Followed { told: 0, looks_left: LAST_LOOKS });
                }
            }
            for (id, call) in &mut followed {
                let is_up = up.iter().any(|call| call["id"] == *id);
                if let Some(told) = api.find(&format!("/calls/{id}/messages")).await? {
                    call.told = self.print(&told, call.told);
                }
                call.looks_left = if is_up { LAST_LOOKS } else { call.looks_left.saturating_sub(1) };
            }
            followed.retain(|_, call| call.looks_left > 0);
            tokio::time::sleep(EVERY).await;
        }
    }

    fn fits(&self, call: &Value) -> bool {
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        let by_number = self.number.as_deref().is_none_or(|digits| {
            let digits = digits.trim_start_matches('+');
            ["caller", "dialled", "destination"].into_iter().any(|name| text(name).contains(digits))
        });
        let by_trunk = self.trunk.as_deref().is_none_or(|trunk| ["trunk_in", "trunk_out"].into_iter().any(|name| text(name) == trunk));
        by_number && by_trunk
    }

    /// Prints all messages but the first `told`; how many there are.
    fn print(&self, told: &Value, printed: usize) -> usize {
        let messages = told["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        for message in messages.iter().skip(printed) {
            println!("{}", rung(message));
            if self.text {
                println!("{}\n", plain(message["text"].as_str().unwrap_or_default().trim_end()));
            }
        }
        messages.len()
    }
}

/// A call that is followed.
struct Followed {
    /// Messages that are printed.
    told: usize,
    looks_left: u32,
}

/// A message on one line: when, between whom, what, and the far end.
fn rung(message: &Value) -> String {
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let lanes = match (text("leg"), text("way")) {
        ("a", "received") => "A --> |      ",
        ("a", _) => "A <-- |      ",
        (_, "received") => "      | <-- B",
        _ => "      | --> B",
    };
    let first = text("text").lines().next().unwrap_or_default();
    let first = first.strip_suffix(" SIP/2.0").or_else(|| first.strip_prefix("SIP/2.0 ")).unwrap_or(first);
    let at = text("at").get(11..).unwrap_or_default().trim_end_matches('Z');
    format!("{at:<15}  {lanes}  {}  ({} {})", plain(first), text("remote"), text("transport"))
}

/// Text that does nothing to a terminal: whoever sends messages may write anything.
fn plain(text: &str) -> String {
    let shown = |character: char| if character.is_control() && character != '\n' { '\u{fffd}' } else { character };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

/// The server's API.
struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    fn new(trace: &Trace) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(|error| Failure::other(format!("cannot speak HTTP: {error}. Check the machine's certificates")))?;
        Ok(Self { client, base: format!("{}/api/v1", trace.server.trim_end_matches('/')), key: trace.key.clone() })
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let (status, bytes) = self.ask(path).await?;
        if status.is_success() { Ok(bytes) } else { Err(refused(status, &bytes)) }
    }

    /// Nothing if there is nothing there yet, or any more.
    async fn find(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.ask(path).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, bytes) if status.is_success() => read(&bytes).map(Some),
            (status, bytes) => Err(refused(status, &bytes)),
        }
    }

    async fn ask(&self, path: &str) -> Result<(StatusCode, Vec<u8>), Failure> {
        let gone = |error: reqwest::Error| Failure::other(format!("{} does not answer: {error}. Name the server with --server", self.base));
        let answer = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.key).send().await.map_err(gone)?;
        let status = answer.status();
        Ok((status, answer.bytes().await.map_err(gone)?.to_vec()))
    }
}

fn refused(status: StatusCode, bytes: &[u8]) -> Failure {
    let told: Value = serde_json::from_slice(bytes).unwrap_or_default();
    Failure::other(told["message"].as_str().map_or_else(|| format!("the server says {status}"), plain))
}

fn read(bytes: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::other(format!("that is no answer of our API: {error}. Check --server")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        trace: Trace,
    }

    fn trace(words: &[&str]) -> Trace {
        Words::try_parse_from([&["trace", "--key", "k"], words].concat()).unwrap_or_else(|error| panic!("{error}")).trace
    }

    #[test]
    fn a_message_is_one_line_that_does_nothing_to_a_terminal() {
        let message = json!({ "at": "2030-01-02T12:00:00.123Z", "leg": "b", "way": "sent", "transport": "udp", "remote": "192.0.2.7:5060",
            "text": "INVITE sip:\u{1b}[2J@192.0.2.7 SIP/2.0\r\nVia: x\r\n\r\n" });
        assert_eq!(rung(&message), "12:00:00.123           | --> B  INVITE sip:\u{fffd}[2J@192.0.2.7  (192.0.2.7:5060 udp)");
        let answer = json!({ "leg": "a", "way": "received", "text": "SIP/2.0 200 OK\r\n" });
        assert!(rung(&answer).contains("A --> |        200 OK"), "{}", rung(&answer));
    }

    #[test]
    fn calls_are_chosen_by_number_and_by_trunk() {
        let call =
            json!({ "caller": "+15551231234", "dialled": "+15551230000", "destination": null, "trunk_in": "origin", "trunk_out": null });
        for (words, fits) in [
            (&[][..], true),
            (&["--number", "+15551231234"], true),
            (&["--number", "1230000"], true),
            (&["--number", "420"], false),
            (&["--trunk", "origin"], true),
            (&["--trunk", "orig"], false),
            (&["--number", "1555", "--trunk", "north"], false),
        ] {
            assert_eq!(trace(words).fits(&call), fits, "{words:?}");
        }
    }
}
