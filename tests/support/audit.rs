//! Reads a captured wire and holds every message against the rules of RFC 3261, 6026 and 3311 that a third party can see.
//!
//! It trusts nothing of the code under test: it has its own small reader, and knows only what was on the wire.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// An INVITE that nothing answers is sent this often over UDP.
const MOST_INVITES: u32 = 7;

/// One datagram.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
    /// Whether it arrived.
    pub arrived: bool,
}

/// One message as the auditor reads it.
#[derive(Debug, Clone)]
struct Seen {
    start: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (full(name.trim()), value.trim().to_owned()));
        let seen = Self { start, headers: headers.collect() };
        let length = seen.get("content-length")?.parse::<usize>().ok()?;
        let real = bytes.len() - (bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4);
        (length == real || (body.is_empty() && length == 0)).then_some(seen)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn param(&self, name: &str, param: &str) -> String {
        let value = self.get(name).unwrap_or("");
        let after = value.rfind('>').map_or(0, |at| at + 1);
        let found = value[after..].split(';').skip(1).find_map(|part| part.trim().strip_prefix(param)?.strip_prefix('='));
        found.unwrap_or("").to_owned()
    }

    fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    fn cseq(&self) -> (u32, String) {
        let (number, method) = self.get("cseq").and_then(|value| value.split_once(' ')).unwrap_or(("0", ""));
        (number.parse().unwrap_or(0), method.trim().to_owned())
    }

    /// What tells transactions apart: sent-by and branch.
    fn branch(&self) -> String {
        let sent_by = self.get("via").unwrap_or("").split(';').next().unwrap_or("");
        format!("{} {}", sent_by.trim(), self.param("via", "branch"))
    }

    fn call_id(&self) -> String {
        self.get("call-id").unwrap_or("").to_owned()
    }
}

fn full(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "v" => "via".into(),
        "f" => "from".into(),
        "t" => "to".into(),
        "i" => "call-id".into(),
        "l" => "content-length".into(),
        "m" => "contact".into(),
        other => other.into(),
    }
}

/// What one party has said and heard.
#[derive(Default)]
struct Party {
    /// Requests sent, by branch and method: their bytes, and their number.
    sent: HashMap<(String, String), (Vec<u8>, u32)>,
    /// How often an INVITE went out that nothing has answered, by branch.
    unanswered: HashMap<String, u32>,
    /// Requests heard, by branch and method.
    heard: HashSet<(String, String)>,
    /// The latest number in each direction of a dialog: Call-ID and our tag.
    latest: HashMap<(String, String), HashMap<String, u32>>,
    /// Final answers given, with their tags: by branch and method.
    finals: HashMap<(String, String), (u16, String)>,
    /// The tags put into any answer, and whether a description went with one of them: an early dialog each.
    tags: HashMap<(String, String), HashMap<String, bool>>,
    /// Finals to INVITEs that arrived here: branch, status, Call-ID, number, To tag. Removed by their ACK.
    to_acknowledge: HashMap<(String, u32, String), (u16, String)>,
    /// Dialogs we have said BYE to: Call-ID, our tag, their tag.
    parted: HashSet<(String, String, String)>,
    /// Those of them whose BYE was answered with a challenge: it may be said once more, with credentials (RFC 3261 §22.2).
    challenged: HashSet<(String, String, String)>,
}

/// Everything wrong with what `audited` sent, one sentence each; nothing if all is well.
pub fn audit(wire: &[Captured], audited: &[SocketAddr]) -> Vec<String> {
    let mut parties: HashMap<SocketAddr, Party> = audited.iter().map(|&address| (address, Party::default())).collect();
    let mut faults = Vec::new();
    for captured in wire {
        let seen = Seen::read(&captured.bytes);
        if let Some(party) = parties.get_mut(&captured.from) {
            match &seen {
                Some(seen) => {
                    says(party, seen, &captured.bytes, &mut |fault| faults.push(format!("{}: {fault}: {}", captured.from, seen.start)));
                }
                None => faults.push(format!("{}: cannot be read, or its length is wrong: {:?}", captured.from, captured.bytes)),
            }
        }
        if let (true, Some(party), Some(seen)) = (captured.arrived, parties.get_mut(&captured.to), seen) {
            hears(party, &seen);
        }
    }
    for (address, party) in &parties {
        for ((call_id, number, tag), (status, _)) in &party.to_acknowledge {
            faults.push(format!("{address}: no ACK for the {status} to INVITE {number} of {call_id}, tag {tag}"));
        }
    }
    faults.sort();
    faults
}

fn says(party: &mut Party, seen: &Seen, bytes: &[u8], fault: &mut dyn FnMut(&str)) {
    for name in ["via", "from", "to", "call-id", "cseq"] {
        if seen.get(name).is_none() {
            fault(&format!("no {name}"));
        }
    }
    match seen.status() {
        Some(status) => answers(party, seen, status, fault),
        None => asks(party, seen, bytes, fault),
    }
}

fn asks(party: &mut Party, seen: &Seen, bytes: &[u8], fault: &mut dyn FnMut(&str)) {
    let method = seen.start.split(' ').next().unwrap_or("").to_owned();
    let (number, cseq_method) = seen.cseq();
    let (branch, call_id) = (seen.branch(), seen.call_id());
    let (ours, theirs) = (seen.param("from", "tag"), seen.param("to", "tag"));
    if method != cseq_method {
        fault("CSeq names another method");
    }
    let own = seen.param("via", "branch");
    if !own.starts_with("z9hG4bK") || own.len() < 15 {
        fault("branch without cookie, or too short to be unique");
    }
    if ours.is_empty() {
        fault("From has no tag");
    }
    if seen.get("max-forwards").is_none() {
        fault("no Max-Forwards");
    }
    if matches!(method.as_str(), "INVITE" | "UPDATE") && seen.get("contact").is_none() {
        fault("no Contact");
    }
    if method == "INVITE" {
        *party.unanswered.entry(branch.clone()).or_default() += 1;
    }
    let key = (branch.clone(), method.clone());
    if let Some((before, _)) = party.sent.get(&key) {
        // RFC 3261 §17: what has the same branch and method is a repeat, to the byte.
        if before != bytes {
            fault("a repeat that is not the same");
        }
        if method == "ACK" {
            acknowledge(party, &call_id, number, &theirs);
        }
        return;
    }
    match method.as_str() {
        "ACK" => {
            let refused = party.sent.get(&(branch.clone(), "INVITE".to_owned())).map(|(_, number)| *number);
            match party.to_acknowledge.get(&(call_id.clone(), number, theirs.clone())) {
                Some((status, invite)) if *status >= 300 && *invite != branch => fault("the ACK to a refusal has the branch of its INVITE"),
                Some((status, _)) if *status < 300 && refused.is_some() => fault("the ACK to a 2xx has a branch of its own"),
                _ => {}
            }
            acknowledge(party, &call_id, number, &theirs);
        }
        "CANCEL" => match party.sent.get(&(branch.clone(), "INVITE".to_owned())) {
            Some((_, invite)) if *invite == number => {}
            _ => fault("CANCEL of an INVITE that was not sent"),
        },
        _ => {
            if party.sent.keys().any(|(used, _)| *used == branch) {
                fault("a branch used before");
            }
            let dialog = (call_id.clone(), ours.clone(), theirs.clone());
            let is_said_again = method == "BYE" && party.challenged.remove(&dialog);
            if !theirs.is_empty() && party.parted.contains(&dialog) && !is_said_again {
                fault("a request after BYE");
            }
            let numbers = party.latest.entry((call_id.clone(), ours.clone())).or_default();
            let known = numbers.get(&theirs).or_else(|| numbers.get("")).copied();
            if known.is_some_and(|latest| number <= latest) {
                fault("CSeq does not rise");
            }
            numbers.insert(theirs.clone(), number);
            if method == "BYE" {
                party.parted.insert((call_id, ours, theirs));
            }
        }
    }
    party.sent.insert(key, (bytes.to_vec(), number));
}

fn acknowledge(party: &mut Party, call_id: &str, number: u32, tag: &str) {
    party.to_acknowledge.remove(&(call_id.to_owned(), number, tag.to_owned()));
}

fn answers(party: &mut Party, seen: &Seen, status: u16, fault: &mut dyn FnMut(&str)) {
    let (_, method) = seen.cseq();
    let key = (seen.branch(), method.clone());
    let tag = seen.param("to", "tag");
    if !party.heard.contains(&key) {
        fault("an answer to nothing");
    }
    if status > 100 && tag.is_empty() {
        fault("To has no tag");
    }
    if method == "INVITE" && (101..300).contains(&status) && seen.get("contact").is_none() {
        fault("no Contact");
    }
    if status > 100 {
        let is_described = seen.get("content-length").is_some_and(|length| length != "0");
        let known = party.tags.entry(key.clone()).or_default();
        // RFC 3261 §12.1.1: an INVITE may bring several early dialogs. A 2xx makes a new one only if none of those before could be its own.
        let may_be_new = method == "INVITE" && (status < 200 || (status < 300 && known.values().all(|&described| described)));
        if !known.is_empty() && !known.contains_key(&tag) && !may_be_new {
            fault("another To tag than before");
        }
        *known.entry(tag.clone()).or_default() |= is_described;
    }
    match party.finals.get(&key) {
        Some(_) if status < 200 => fault("a provisional after the final"),
        Some(before) if *before != (status, tag.clone()) => fault("a second final"),
        None if status >= 200 => {
            party.finals.insert(key, (status, tag));
        }
        _ => {}
    }
}

fn hears(party: &mut Party, seen: &Seen) {
    let (number, method) = seen.cseq();
    let Some(status) = seen.status() else {
        party.heard.insert((seen.branch(), method));
        return;
    };
    if method == "BYE" && matches!(status, 401 | 407) {
        party.challenged.insert((seen.call_id(), seen.param("from", "tag"), seen.param("to", "tag")));
    }
    // RFC 3261 §17.1.1.2: after the seventh there is only half a second before timer B; what comes then may find nobody to acknowledge it.
    if method == "INVITE" && party.unanswered.get(&seen.branch()).is_none_or(|&sent| sent < MOST_INVITES) {
        party.unanswered.remove(&seen.branch());
    }
    let gave_up = party.unanswered.contains_key(&seen.branch());
    if method == "INVITE" && status >= 200 && !gave_up && party.sent.contains_key(&(seen.branch(), method)) {
        let key = (seen.call_id(), number, seen.param("to", "tag"));
        party.to_acknowledge.insert(key, (status, seen.branch()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(from: u16, to: u16, text: &str) -> Captured {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Captured { from: address(from), to: address(to), bytes: text.replace('\n', "\r\n").into_bytes(), arrived: true }
    }

    fn faults(wire: &[Captured]) -> String {
        audit(wire, &[1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)))).join("\n")
    }

    fn invite() -> Captured {
        datagram(
            1,
            2,
            "INVITE sip:b@x SIP/2.0\nVia: SIP/2.0/UDP x;branch=z9hG4bK00000001\nFrom: <sip:a@x>;tag=a\nTo: <sip:b@x>\nCall-ID: c\n\
             CSeq: 1 INVITE\nMax-Forwards: 70\nContact: <sip:a@x>\nContent-Length: 0\n\n",
        )
    }

    fn answer(status: &str, tag: &str) -> Captured {
        described(status, tag, "")
    }

    fn described(status: &str, tag: &str, body: &str) -> Captured {
        let length = body.len();
        datagram(
            2,
            1,
            &format!(
                "SIP/2.0 {status}\nVia: SIP/2.0/UDP x;branch=z9hG4bK00000001\nFrom: <sip:a@x>;tag=a\nTo: <sip:b@x>;tag={tag}\nCall-ID: c\n\
                 CSeq: 1 INVITE\nContact: <sip:b@x>\nContent-Length: {length}\n\n{body}"
            ),
        )
    }

    fn ack(branch: &str) -> Captured {
        datagram(
            1,
            2,
            &format!(
                "ACK sip:b@x SIP/2.0\nVia: SIP/2.0/UDP x;branch=z9hG4bK{branch}\nFrom: <sip:a@x>;tag=a\nTo: <sip:b@x>;tag=b\nCall-ID: c\n\
                 CSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n"
            ),
        )
    }

    #[test]
    fn a_good_call_passes() {
        assert_eq!(faults(&[invite(), invite(), answer("180 R", "b"), answer("200 OK", "b"), ack("00000002")]), "");
        assert_eq!(faults(&[invite(), answer("180 R", "a"), answer("180 R", "b"), answer("200 OK", "b"), ack("00000002")]), "");
        assert_eq!(faults(&[invite(), described("183 S", "a", "v=0"), answer("200 OK", "b"), ack("00000002")]), "");
        assert_eq!(faults(&[invite(), answer("486 B", "b"), ack("00000001"), answer("486 B", "b"), ack("00000001")]), "");
    }

    #[test]
    fn every_fault_is_seen() {
        for (wire, fault) in [
            (vec![invite(), answer("200 OK", "b")], "no ACK"),
            (vec![invite(), answer("200 OK", "b"), ack("00000002"), answer("200 OK", "b")], "no ACK"),
            (vec![invite(), answer("200 OK", "b"), ack("00000001")], "branch of its own"),
            (vec![invite(), answer("486 B", "b"), ack("00000002")], "branch of its INVITE"),
            (vec![invite(), answer("180 R", "b"), answer("200 OK", "other")], "another To tag"),
            (vec![invite(), described("183 S", "b", "v=0"), answer("486 B", "other")], "another To tag"),
            (vec![invite(), described("183 S", "a", "v=0"), answer("200 OK", "b"), answer("200 OK", "a")], "second final"),
            (vec![invite(), answer("200 OK", "b"), ack("00000002"), answer("180 R", "b")], "provisional after"),
            (vec![invite(), answer("200 OK", "b"), ack("00000002"), answer("486 B", "b")], "second final"),
            (vec![answer("180 R", "b")], "answer to nothing"),
        ] {
            let found = faults(&wire);
            assert!(found.contains(fault), "{fault}: {found}");
        }
    }

    #[test]
    fn a_wrong_length_is_seen() {
        let mut wrong = invite();
        wrong.bytes.extend_from_slice(b"more");
        assert!(faults(&[wrong]).contains("length is wrong"));
    }
}
