//! The arriving call: which trunk, who calls, what was dialled, and where it shall go.

use std::sync::Arc;
use std::time::Duration;

use crate::callthrough::{self, Found, Reservation};
use crate::database::Database;
use crate::sip::Invite;
use crate::trunk::{Arrival, Trunk};
use crate::types::{CallerId, Clock, E164, Refusal};

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
    let dialled_text = read.dialled.map_or_else(|| printable(&invite.request_uri), |number| number.to_string());
    Arrived {
        trunk,
        caller: read.caller,
        hidden: read.hidden,
        dialled: read.dialled,
        dialled_text,
        sip_call_id: invite.sip_call_id.clone(),
        source: invite.source.ip(),
    }
}

/// What can be said from the INVITE alone, before any look into the books.
pub(super) fn admit(arrived: &Arrived) -> Result<(E164, E164), Refusal> {
    let dialled = arrived.dialled.ok_or(Refusal::NoSuchNumber)?;
    if !arrived.trunk.settings.brings(dialled) {
        return Err(Refusal::NoReservation);
    }
    let caller = arrived.caller.number().ok_or(Refusal::CallerWithheld)?;
    arrived.trunk.settings.attestation.check(arrived.caller)?;
    Ok((caller, dialled))
}

/// Which reservation this caller and this access number mean. Reads only; the claim comes with the hold.
pub(super) async fn screen(
    database: Database,
    config: Arc<callthrough::Config>,
    clock: Clock,
    caller: E164,
    dialled: E164,
) -> Result<Reservation, Refusal> {
    let finding = async {
        let mut connection = database.read().await?;
        callthrough::store::find(&mut connection, &config, caller, dialled, clock.timestamp()).await
    };
    let found = tokio::time::timeout(PATIENCE, finding).await.unwrap_or(Err(crate::database::Error::PoolTimedOut));
    match found {
        // Everything is checked again: the destination may have been barred since the request.
        Ok(Found::Pending(reservation)) => {
            let places: Vec<_> = reservation.places.iter().copied().chain(reservation.access_number.country()).collect();
            let judged = config.may_call(reservation.tenant, reservation.destination, &places);
            judged
                .inspect_err(|refusal| config.rules.refused(reservation.tenant, reservation.subscriber, *refusal, clock.timestamp()))
                .map(|()| reservation)
        }
        Ok(Found::Cooling(_)) => Err(Refusal::CoolingDown),
        Ok(Found::Expired(_)) => Err(Refusal::ReservationExpired),
        Ok(Found::Used(_)) => Err(Refusal::ReservationUsed),
        Ok(Found::None) => Err(Refusal::NoReservation),
        Err(error) => {
            tracing::error!(%error, "the books cannot be read, so a call is refused; check the database");
            Err(Refusal::BooksDown)
        }
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MOST_DIALLED).collect()
}
