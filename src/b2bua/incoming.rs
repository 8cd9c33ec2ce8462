//! The arriving call: which trunk, who calls, what was dialled, and where it shall go.

use std::sync::Arc;
use std::time::Duration;

use super::Board;
use crate::callthrough::{self, Found, Mode, Reservation};
use crate::media::Language;
use crate::sip::{Header, Invite};
use crate::subscriber;
use crate::trunk::{Arrival, Trunk};
use crate::types::{CallerId, Country, E164, Refusal, Timestamp};

/// The look into the books may take this long.
const PATIENCE: Duration = Duration::from_secs(4);
/// Values of one header that are looked at.
const MOST_VALUES: usize = 8;
/// Characters of a dialled "number" that is none, as the record keeps it.
const MOST_DIALLED: usize = 64;

/// What is known of a call that has arrived: small, and kept as long as the call.
#[derive(Debug)]
pub(super) struct Arrived {
    pub trunk: Arc<Trunk>,
    pub caller: CallerId,
    /// The caller asks that B does not see the number.
    pub hidden: bool,
    pub dialled: Option<E164>,
    /// The same as it arrived, for the record.
    pub dialled_text: String,
    pub sip_call_id: String,
    /// Whom the call was meant for before: Diversion and History-Info of a trusted trunk, for trusted trunks.
    pub carried: Box<[Header]>,
    /// Where the INVITE came from.
    pub source: std::net::IpAddr,
}

/// Reads the INVITE by the rules of the trunk it came over.
pub(super) fn read(trunk: Arc<Trunk>, invite: &Invite) -> Arrived {
    let asserted: Vec<&str> = invite.headers("P-Asserted-Identity").take(MOST_VALUES).collect();
    let read = trunk.read(&Arrival {
        request_uri: &invite.request_uri,
        to: &invite.to,
        from: &invite.from,
        asserted: &asserted,
        remote_party: invite.header("Remote-Party-ID"),
        privacy: invite.header("Privacy"),
        diversion: invite.header("Diversion"),
        identity: invite.header("Identity"),
    });
    let carried = if trunk.settings.trusted { carried(invite) } else { Box::default() };
    let dialled_text = read.dialled.map_or_else(|| printable(&invite.request_uri), |number| number.to_string());
    Arrived {
        trunk,
        caller: read.caller,
        hidden: read.hidden,
        dialled: read.dialled,
        dialled_text,
        sip_call_id: invite.sip_call_id.clone(),
        carried,
        source: invite.source.ip(),
    }
}

/// Diversion (RFC 5806) and History-Info (RFC 7044) as they came.
fn carried(invite: &Invite) -> Box<[Header]> {
    let values = |name: &'static str| invite.headers(name).take(MOST_VALUES).map(move |value| Header::new(name, value));
    values("Diversion").chain(values("History-Info")).collect()
}

/// What can be said from the INVITE alone, before any look into the books.
pub(super) fn admit(arrived: &Arrived) -> Result<(Result<E164, Refusal>, E164), Refusal> {
    let dialled = arrived.dialled.ok_or(Refusal::NoSuchNumber)?;
    if !arrived.trunk.settings.brings(dialled) {
        return Err(Refusal::NoReservation);
    }
    let caller = arrived.caller.number().ok_or(Refusal::CallerWithheld);
    let caller = caller.and_then(|caller| arrived.trunk.settings.attestation.check(arrived.caller).map(|()| caller));
    Ok((caller, dialled))
}

/// What the product rules found.
#[derive(Debug)]
pub(super) enum Looked {
    /// Whose call it is.
    Found(Reservation),
    /// The numbers alone do not tell, but the caller may key in a code: one of this country, most likely.
    Ask(Country),
}

/// Which reservation a call means, by its numbers; `speaks` says whether it could be asked for a code.
pub(super) async fn look(board: &Board, caller: Result<E164, Refusal>, dialled: E164, speaks: bool) -> Result<Looked, Refusal> {
    let found = match caller {
        Ok(caller) => screen(board, caller, dialled).await,
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok(reservation) => Ok(Looked::Found(reservation)),
        Err(refusal @ (Refusal::NoReservation | Refusal::ReservationExpired | Refusal::CallerWithheld | Refusal::CallerUnverified))
            if speaks =>
        {
            let finding = async {
                let mut connection = board.database.read().await?;
                callthrough::store::get_access_number(&mut connection, dialled).await
            };
            match in_time(finding).await.map_err(|error| books_down(&error))? {
                Some(number) if number.settings.modes.contains(&Mode::Code) => Ok(Looked::Ask(number.country)),
                _ => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    }
}

/// Which reservation a code means that was keyed in, and the language of whoever made it.
pub(super) async fn look_up(board: &Board, code: &str, dialled: E164) -> Result<(Reservation, Option<Language>), Refusal> {
    let now = board.clock.timestamp();
    let finding = async {
        let mut connection = board.database.read().await?;
        callthrough::store::find_code(&mut connection, &board.callthrough, code, dialled, now).await
    };
    let reservation = judge(&board.callthrough, in_time(finding).await, now)?;
    let knowing = async {
        let mut connection = board.database.read().await?;
        subscriber::store::get(&mut connection, reservation.subscriber).await
    };
    let subscriber = in_time(knowing).await.map_err(|error| books_down(&error))?;
    Ok((reservation, subscriber.and_then(|subscriber| Language::of_locale(&subscriber.locale))))
}

/// Books that are away must not keep a caller waiting.
async fn in_time<T>(reading: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn books_down(error: &sqlx::Error) -> Refusal {
    tracing::error!(%error, "the books cannot be read, so a call is refused; check the database");
    Refusal::BooksDown
}

/// Which reservation this caller and this access number mean. Reads only; the claim comes with the hold.
async fn screen(board: &Board, caller: E164, dialled: E164) -> Result<Reservation, Refusal> {
    let now = board.clock.timestamp();
    let finding = async {
        let mut connection = board.database.read().await?;
        callthrough::store::find(&mut connection, &board.callthrough, caller, dialled, now).await
    };
    let found = in_time(finding).await;
    judge(&board.callthrough, found, now)
}

fn judge(config: &callthrough::Config, found: Result<Found, sqlx::Error>, now: Timestamp) -> Result<Reservation, Refusal> {
    match found {
        // Everything is checked again: the destination may have been barred since the request.
        Ok(Found::Pending(reservation)) => {
            let places: Vec<_> = reservation.places.iter().copied().chain(reservation.access_number.country()).collect();
            let judged = config.may_call(reservation.tenant, reservation.destination, &places);
            judged
                .inspect_err(|refusal| config.rules.refused(reservation.tenant, reservation.subscriber, *refusal, now))
                .map(|()| reservation)
        }
        Ok(Found::Cooling(_)) => Err(Refusal::CoolingDown),
        Ok(Found::Expired(_)) => Err(Refusal::ReservationExpired),
        Ok(Found::Used(_)) => Err(Refusal::ReservationUsed),
        Ok(Found::None) => Err(Refusal::NoReservation),
        Err(error) => Err(books_down(&error)),
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MOST_DIALLED).collect()
}
