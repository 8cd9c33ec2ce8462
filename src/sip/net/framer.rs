//! A stream taken apart: messages, keep-alives, and what is neither. Touches no socket.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::sip::msg::{Frame, Framer};

/// What a stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// One message. The copy is as long as the message, so whoever keeps it keeps no more.
    Message(Bytes),
    /// Two CR LF: the far end asks whether we are there (RFC 5626 §4.4.1); one goes back.
    Ping,
    /// One CR LF: we are answered.
    Pong,
    /// A message without an end that can be found: it is answered, and the stream is of no use any more.
    Broken(Bytes),
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub struct Intake {
    buffer: BytesMut,
    framer: Framer,
    /// The last thing that came was half a ping, or a pong.
    half: bool,
}

impl Intake {
    /// Where to put what comes.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a message has begun and not ended.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next piece; none until more comes.
    pub fn next(&mut self) -> Option<Piece> {
        match self.framer.next(&self.buffer) {
            Frame::Partial => None,
            Frame::KeepAlive(length) => {
                self.buffer.advance(length);
                let pairs = length / 2 + usize::from(self.half);
                self.half = pairs == 1;
                Some(if pairs >= 2 { Piece::Ping } else { Piece::Pong })
            }
            Frame::Complete(length) => {
                self.half = false;
                Some(Piece::Message(Bytes::copy_from_slice(&self.buffer.split_to(length))))
            }
            Frame::Broken(length) => Some(Piece::Broken(Bytes::copy_from_slice(&self.buffer.split_to(length)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";

    fn pieces(intake: &mut Intake, bytes: &[u8]) -> Vec<Piece> {
        intake.buffer().extend_from_slice(bytes);
        std::iter::from_fn(|| intake.next()).collect()
    }

    #[test]
    fn keep_alives_and_messages_are_told_apart_however_they_are_cut() {
        let mut intake = Intake::default();
        let message = Piece::Message(Bytes::from_static(OPTIONS));
        let stream = [b"\r\n\r\n", OPTIONS, b"\r\n", OPTIONS].concat();
        assert_eq!(pieces(&mut intake, &stream), [Piece::Ping, message.clone(), Piece::Pong, message.clone()]);
        assert!(!intake.is_waiting());
        let whole = stream.iter().flat_map(|byte| pieces(&mut intake, &[*byte])).collect::<Vec<_>>();
        // Cut in two, a ping looks like a pong first.
        assert_eq!(whole, [Piece::Pong, Piece::Ping, message.clone(), Piece::Pong, message]);
    }

    #[test]
    fn what_has_no_end_is_broken_and_what_is_not_whole_is_waited_for() {
        let mut intake = Intake::default();
        assert!(matches!(pieces(&mut intake, b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n")[..], [Piece::Broken(_)]));
        let mut intake = Intake::default();
        assert_eq!(pieces(&mut intake, b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 9\r\n\r\nhi"), []);
        assert!(intake.is_waiting());
    }
}
