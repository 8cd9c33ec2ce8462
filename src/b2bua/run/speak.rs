//! A call that we speak with: answered by ourselves, told what to key in, its keys heard, its code looked up.

use super::super::guess::{Guesser, LONGEST_WAIT};
use super::super::incoming;
use super::{Answered, Running, Then};
use crate::call::{Cause, Fact, Prompt};
use crate::media::Language;
use crate::media::dtmf;
use crate::media::prompt;
use crate::sip::{Body, RequestId};
use crate::types::{Digits, Money, Refusal, Side};

/// What is known of a call that we speak with.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// In which language.
    pub language: Language,
    /// A heard our 200.
    pub answered: bool,
    /// What is left on the account, where that is little.
    pub low: Option<Money>,
}

impl Running {
    /// Whether A has had a 200 from us, or from B by way of us.
    pub(super) fn a_is_up(&self) -> bool {
        self.is_answered() || self.spoken.as_ref().is_some_and(|spoken| spoken.answered)
    }

    /// Answers A to speak with it.
    pub(super) async fn speak(&mut self) -> Then {
        if self.sound.is_none() {
            match self.board.media.open(self.arrived.source) {
                Ok(sound) => self.sound = sound.map(Box::new),
                Err(error) => return Then::Hear(self.no_sound(&error)),
            }
        }
        let offer = self.setting_up.as_ref().and_then(|setting_up| setting_up.offer.clone()).filter(Body::is_sdp);
        let (Some(sound), Some(offer)) = (&mut self.sound, offer) else { return Then::Hear(Fact::Stopped(Cause::Incompatible)) };
        let (answer, asked) = match sound.accept(&offer.bytes) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return Then::Hear(Fact::Stopped(Cause::Incompatible)),
            Err(error) => return Then::Hear(self.no_sound(&error)),
        };
        if let Some(setting_up) = &mut self.setting_up {
            setting_up.offer = Some(Body { content_type: offer.content_type.clone(), bytes: asked });
        }
        self.spoken.get_or_insert_default().answered = true;
        self.a.answer_in(self.confirmed, Some(Body { content_type: offer.content_type, bytes: answer }), vec![]).await;
        self.sip_status = Some(200);
        Then::Go
    }

    /// Says something by ear. What cannot be said is said.
    pub(super) fn play(&self, side: Side, said: Prompt) -> Then {
        let language = self.spoken.as_ref().map(|spoken| spoken.language).unwrap_or_default();
        let words: Vec<Box<str>> = match said {
            Prompt::Code => vec!["code".into()],
            Prompt::WrongCode => vec!["wrong".into(), "code".into()],
            Prompt::Refused(refusal) => vec![reason(refusal).into()],
            Prompt::Standing(grant) => {
                let low = self.spoken.as_ref().and_then(|spoken| spoken.low);
                let mut words: Vec<Box<str>> = Vec::new();
                if let Some(left) = low {
                    words.push("low_balance".into());
                    words.extend(prompt::amount(language, left));
                }
                if !grant.more {
                    words.push("time_left".into());
                    words.extend(prompt::time(language, grant.funded.as_secs()));
                }
                words
            }
            Prompt::Ringing | Prompt::Warning => {
                if let Some(sound) = &self.sound {
                    if said == Prompt::Ringing { sound.ring(side) } else { sound.warn(side) }
                }
                return Then::Go;
            }
        };
        let is_said = self.sound.as_ref().is_some_and(|sound| sound.say(side, language, &words));
        if is_said { Then::Go } else { Then::Hear(Fact::Played(side)) }
    }

    pub(super) fn hush(&self, side: Side) {
        if let Some(sound) = &self.sound {
            sound.hush(side);
        }
    }

    /// A key that came as an INFO request, while we collect; false if it is for the other party.
    pub(super) async fn took_key(&mut self, id: RequestId, body: Option<&Body>) -> bool {
        let Some(body) = body.filter(|body| dtmf::is_info(&body.content_type)) else { return false };
        if self.is_answered() || self.spoken.is_none() {
            return false;
        }
        if let (Some(sound), Some(digit)) = (&self.sound, dtmf::info(&body.content_type, &body.bytes)) {
            sound.info(Side::A, digit);
        }
        self.a.respond(id, 200, None, vec![]).await;
        true
    }

    /// Looks the code up, after the wait that its guessers have earned.
    pub(super) fn check(&mut self, digits: Digits) {
        let Some(dialled) = self.arrived.dialled else { return };
        let own = self.arrived.caller.number().map(Guesser::Caller);
        let guessers: Vec<_> = own.into_iter().chain([Guesser::Number(dialled), Guesser::Trunk(self.arrived.trunk.id)]).collect();
        let board = self.board.clone();
        self.start(async move {
            let now = board.clock.now();
            let wait = board.guesses.wait(&guessers, now);
            board.clock.sleep_until(now + wait.min(LONGEST_WAIT)).await;
            let found =
                if wait > LONGEST_WAIT { Err(Refusal::NoReservation) } else { incoming::look_up(&board, digits.reveal(), dialled).await };
            match &found {
                Ok(_) => board.guesses.right(&guessers),
                Err(Refusal::NoReservation | Refusal::ReservationExpired) => board.guesses.wrong(&guessers, board.clock.now()),
                Err(_) => {}
            }
            Answered::Found(found)
        });
    }
}

/// The sentence for a reason to say no.
const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotEnoughCredit | Refusal::SpendCap => "no_credit",
        Refusal::Barred | Refusal::HighRisk | Refusal::NoRate | Refusal::NoMargin | Refusal::NoSuchNumber | Refusal::Emergency => {
            "not_allowed"
        }
        Refusal::NoReservation
        | Refusal::ReservationExpired
        | Refusal::ReservationUsed
        | Refusal::CallerWithheld
        | Refusal::CallerUnverified
        | Refusal::SignInFailed => "no_reservation",
        _ => "later",
    }
}
