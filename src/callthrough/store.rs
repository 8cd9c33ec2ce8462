//! All the room's SQL: access numbers and reservations.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::access_number::{AccessNumber, Candidate, Mode, Settings};
use super::reservation::{Claimed, Found, Open, Plan, Reservation, State, plan};
use super::{Config, Rule};
use crate::database::{Script, Value};
use crate::types::{CallId, Clock, Country, E164, Random, Refusal, ReservationId, SubscriberId, TenantId, Timestamp};

/// Claims of one reservation: the first, and two more after calls that ended before B answered.
const MAX_CLAIMS: i64 = 3;

/// No reservation lives longer (`callthrough.life_secs` ends here).
const LONGEST_LIFE: Duration = Duration::from_secs(120);
/// Clocks of nodes that share the books are closer than this.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// Digits of a one-time code: over 26 bits for a minute and three tries.
const CODE_DIGITS: usize = 8;
/// Codes that are drawn before the books are called broken.
const CODE_DRAWS: usize = 8;

/// Why a claim or a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We say no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The books failed.
    #[error("the books cannot be reached: {0}")]
    Fault(#[from] sqlx::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Error {
    /// Another request took the same pair at the same instant: asking again sees its row.
    pub fn lost_a_race(&self) -> bool {
        match self {
            Self::Fault(sqlx::Error::Database(error)) => error.is_unique_violation(),
            Self::Fault(_) | Self::Refused(_) => false,
        }
    }
}

/// A request for a reservation, everything decided but which of the candidates it gets.
pub struct Ask<'n> {
    /// In whose books.
    pub tenant: TenantId,
    /// Whose.
    pub subscriber: SubscriberId,
    /// Their verified numbers.
    pub callers: Vec<E164>,
    /// What they want.
    pub destination: E164,
    /// What may be given, see [`plan`].
    pub groups: Vec<Vec<Candidate<'n>>>,
    /// What may be given with a code when the callers' pairs are all taken.
    pub fallback: Vec<Vec<Candidate<'n>>>,
    /// Client address, for the audit.
    pub source: String,
    /// Nonce of the request, for the audit.
    pub nonce: Option<String>,
    /// Where the phone may be, for emergency numbers.
    pub places: Vec<Country>,
}

/// A reservation as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Its id.
    pub id: ReservationId,
    /// The number to dial.
    pub access_number: E164,
    /// How the call will be recognised.
    pub mode: Mode,
    /// The one-time code, in that mode.
    pub code: Option<String>,
    /// The rule that chose the number; none when an older reservation was renewed.
    pub rule: Option<Rule>,
    /// When it was asked for again instead of anew.
    pub renewed: bool,
    /// How many older ones it took the place of.
    pub superseded: usize,
}

/// Writes a reservation, or renews the one that says the same (S1 to S7), in the caller's transaction.
pub async fn reserve(tx: &mut AnyConnection, config: &Config, ask: &Ask<'_>, clock: &Clock, random: &Random) -> Result<Reserved, Error> {
    let now = clock.timestamp();
    let open = open(tx, config, ask, now).await?;
    let expires = now + Duration::from_secs(u64::from(config.life_secs));
    let late_until = expires + Duration::from_secs(u64::from(config.late_grace_secs));
    let max_open = usize::try_from(config.max_open_reservations).unwrap_or(usize::MAX);
    match plan(ask.subscriber, ask.destination, &open, &ask.groups, &ask.fallback, max_open) {
        Plan::Refuse(refusal) => Err(refusal.into()),
        Plan::Renew { id, mode } => {
            let access_number = open.iter().find(|open| open.id == id).map(|open| open.access_number).ok_or(sqlx::Error::RowNotFound)?;
            let code = fresh_code(tx, mode, access_number, now, random).await?;
            let done = sqlx::query(
                "update reservation set expires_at_us = $2, late_until_us = $3, code_digest = coalesce($4, code_digest), places = $5 \
                 where id = $1 and state = 'pending'",
            )
            .bind(id.to_string())
            .bind(expires.as_micros())
            .bind(late_until.as_micros())
            .bind(code.as_deref().map(code_digest))
            .bind(written(&ask.places))
            .execute(tx)
            .await?;
            if done.rows_affected() == 0 {
                // Its call came in between. Asking again in a moment finds another number.
                return Err(Refusal::NoAccessNumber.into());
            }
            Ok(Reserved { id, access_number, mode, code, rule: None, renewed: true, superseded: 0 })
        }
        Plan::Create { access_number, mode, rule, supersede, bury } => {
            let mut script = Script::default();
            for gone in &supersede {
                end(&mut script, *gone, State::Superseded);
            }
            for gone in &bury {
                end(&mut script, *gone, State::Expired);
            }
            let code = fresh_code(tx, mode, access_number, now, random).await?;
            let id = ReservationId::new(clock, random);
            script.add(
                "insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, \
                 late_until_us, nonce, source, code_digest, tenant_id, places) \
                 values ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                [
                    id.to_string().into(),
                    ask.subscriber.to_string().into(),
                    access_number.to_string().into(),
                    ask.destination.to_string().into(),
                    rule.as_str().into(),
                    now.as_micros().into(),
                    expires.as_micros().into(),
                    late_until.as_micros().into(),
                    ask.nonce.clone().into(),
                    ask.source.as_str().into(),
                    code.as_deref().map(code_digest).into(),
                    ask.tenant.to_string().into(),
                    written(&ask.places).into(),
                ],
            );
            if mode == Mode::Pinless {
                insert_callers(&mut script, id, access_number, &ask.callers, now);
            }
            script.run(tx).await?;
            Ok(Reserved { id, access_number, mode, code, rule: Some(rule), renewed: false, superseded: supersede.len() })
        }
    }
}

/// Countries as the books keep them.
fn written(places: &[Country]) -> String {
    places.iter().map(Country::as_str).collect::<Vec<_>>().join(" ")
}

/// The reservations in the way: the subscriber's own that have not ended, and others that take a pair with one of their callers.
async fn open(tx: &mut AnyConnection, config: &Config, ask: &Ask<'_>, now: Timestamp) -> Result<Vec<Open>, sqlx::Error> {
    let places: Vec<String> = (0..ask.callers.len()).map(|index| format!("${}", index + 2)).collect();
    let shared = if places.is_empty() {
        String::new()
    } else {
        format!(
            " union select r.*, 1 as takes_pair from reservation_caller rc join reservation r on r.id = rc.reservation_id \
             where rc.pending = 1 and rc.caller in ({})",
            places.join(", ")
        )
    };
    let statement = format!(
        "select r.*, 1 as takes_pair from reservation r where r.subscriber_id = $1 and r.state in ('pending', 'claimed') \
         and exists (select 1 from reservation_caller rc where rc.reservation_id = r.id and rc.pending = 1) \
         union select r.*, 0 as takes_pair from reservation r where r.subscriber_id = $1 and r.state = 'pending' \
         and not exists (select 1 from reservation_caller rc where rc.reservation_id = r.id){shared}"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(ask.subscriber.to_string());
    let rows = ask.callers.iter().fold(query, |query, caller| query.bind(caller.to_string())).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let takes_pair = row.try_get::<i64, _>("takes_pair").or_else(|_| row.try_get::<i32, _>("takes_pair").map(i64::from))? != 0;
            let found = judge(config, reservation(row)?, now);
            let (Found::Pending(reservation) | Found::Expired(reservation) | Found::Used(reservation)) = found.clone() else {
                let reservation = self::reservation(row)?;
                return Ok(opened(&reservation, false, true, takes_pair));
            };
            let waiting = reservation.state == State::Pending && matches!(found, Found::Pending(_));
            let over = matches!(found, Found::Expired(_));
            Ok(opened(&reservation, waiting, over, takes_pair))
        })
        .collect()
}

const fn opened(reservation: &Reservation, waiting: bool, over: bool, takes_pair: bool) -> Open {
    Open {
        id: reservation.id,
        subscriber: reservation.subscriber,
        access_number: reservation.access_number,
        destination: reservation.destination,
        waiting,
        over,
        takes_pair,
        created_at: reservation.created_at,
    }
}

/// Ends a reservation that no call has used up, and frees its pairs.
fn end(script: &mut Script, id: ReservationId, state: State) {
    script.add(
        "update reservation set state = $2 where id = $1 and state in ('pending', 'claimed')",
        [id.to_string().into(), state.as_str().into()],
    );
    script.add("update reservation_caller set pending = 0 where reservation_id = $1 and pending = 1", [id.to_string().into()]);
}

fn insert_callers(script: &mut Script, id: ReservationId, access_number: E164, callers: &[E164], now: Timestamp) {
    let rows: Vec<String> = (0..callers.len()).map(|index| format!("(${}, $1, $2, 1, $3)", index + 4)).collect();
    let statement = format!(
        "insert into reservation_caller (caller, access_number, reservation_id, pending, created_at_us) values {}",
        rows.join(", ")
    );
    let mut values = vec![access_number.to_string().into(), id.to_string().into(), now.as_micros().into()];
    values.extend(callers.iter().map(|caller| Value::from(caller.to_string())));
    script.add(statement, values);
}

/// A code that no other open reservation of this access number has; none in the other modes.
async fn fresh_code(
    tx: &mut AnyConnection,
    mode: Mode,
    access_number: E164,
    now: Timestamp,
    random: &Random,
) -> Result<Option<String>, sqlx::Error> {
    if mode != Mode::Code {
        return Ok(None);
    }
    for _ in 0..CODE_DRAWS {
        let code = random.digits(CODE_DIGITS);
        let taken =
            sqlx::query("select 1 as taken from reservation where access_number = $1 and code_digest = $2 and late_until_us >= $3 limit 1")
                .bind(access_number.to_string())
                .bind(code_digest(&code))
                .bind(now.as_micros())
                .fetch_optional(&mut *tx)
                .await?;
        if taken.is_none() {
            return Ok(Some(code));
        }
    }
    Err(sqlx::Error::Protocol("no free one-time code was drawn: too many reservations in code mode".into()))
}

/// What a request needs to know besides the subscriber: whether the inventory changed, and the number given last.
pub fn add_recall(script: &mut Script, subscriber: SubscriberId) {
    script.add(
        "select (select cast(coalesce(sum(stamp), 0) as bigint) from access_number) as stamps, \
         (select access_number from reservation where subscriber_id = $1 order by created_at_us desc limit 1) as last_used",
        [subscriber.to_string().into()],
    );
}

/// What the row of [`add_recall`] tells.
pub fn recalled(row: &AnyRow) -> Result<(i64, Option<E164>), sqlx::Error> {
    let last: Option<String> = row.try_get("last_used")?;
    Ok((row.try_get("stamps")?, last.and_then(|number| number.parse().ok())))
}

/// The sum of the stamps of an inventory, as [`recalled`] tells it.
pub fn stamps(inventory: &[AccessNumber]) -> i64 {
    inventory.iter().map(|number| stamp(number, &settings_text(&number.settings))).fold(0, i64::wrapping_add)
}

/// How far the clocks of two nodes, or of two lives of one, may stand apart. A reservation from further ahead was made before the
/// clock was set back, and would live longer than it may: it has none of its life left.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// What the newest reservation of `caller` for `access_number` means to a call that arrives now. Reads only.
pub async fn find(
    connection: &mut AnyConnection,
    config: &Config,
    caller: E164,
    access_number: E164,
    now: Timestamp,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query(
        "select r.*, n.usable_from_us from reservation_caller rc join reservation r on r.id = rc.reservation_id \
         left join subscriber_number n on n.number = rc.caller and n.subscriber_id = r.subscriber_id \
         where rc.caller = $1 and rc.access_number = $2 order by rc.pending desc, rc.created_at_us desc limit 1",
    )
    .bind(caller.to_string())
    .bind(access_number.to_string())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Found::None) };
    let cooling = row.try_get::<Option<i64>, _>("usable_from_us")?.is_some_and(|from| from > now.as_micros());
    Ok(match judge(config, reservation(&row)?, now) {
        Found::Pending(reservation) if cooling => Found::Cooling(reservation),
        found => found,
    })
}

/// The same by the one-time code that was keyed in.
pub async fn find_code(
    connection: &mut AnyConnection,
    config: &Config,
    code: &str,
    access_number: E164,
    now: Timestamp,
) -> Result<Found, sqlx::Error> {
    let row = sqlx::query("select * from reservation where access_number = $1 and code_digest = $2 order by created_at_us desc limit 1")
        .bind(access_number.to_string())
        .bind(code_digest(code))
        .fetch_optional(connection)
        .await?;
    Ok(match row {
        Some(row) => judge(config, reservation(&row)?, now),
        None => Found::None,
    })
}

/// Gives the reservation to `call`, if no other call has it. The clauses of the update are the rules A1, A4 and A6; of two
/// claims at one instant the database lets one through.
///
/// Refusals: `ReservationUsed` while another call that has it is alive, `ReservationExpired` after grace, else `NoReservation`.
pub async fn claim(tx: &mut AnyConnection, config: &Config, id: ReservationId, call: CallId, now: Timestamp) -> Result<Claimed, Error> {
    let mut script = Script::default();
    add_claim(&mut script, config, id, call, now);
    let answers = script.ask(tx).await?;
    claimed(tx, config, id, answers.first().map_or(&[], Vec::as_slice), now).await
}

/// The statement of [`claim`], to travel with others; what it answers is for [`claimed`].
pub fn add_claim(script: &mut Script, config: &Config, id: ReservationId, call: CallId, now: Timestamp) {
    script.add(
        "update reservation set state = 'claimed', call_id = $2, claims = claims + 1, released_at_us = null, \
         late = case when expires_at_us < $3 then 1 else late end \
         where id = $1 and late_until_us >= $3 and created_at_us <= $6 \
         and (state = 'pending' or (state = 'claimed' and released_at_us >= $4 and claims < $5)) returning *",
        [
            id.to_string().into(),
            call.to_string().into(),
            now.as_micros().into(),
            (now - failover_window(config)).as_micros().into(),
            MAX_CLAIMS.into(),
            (now + CLOCK_SKEW).as_micros().into(),
        ],
    );
}

/// What became of a claim, by the rows of its statement.
pub async fn claimed(
    tx: &mut AnyConnection,
    config: &Config,
    id: ReservationId,
    rows: &[AnyRow],
    now: Timestamp,
) -> Result<Claimed, Error> {
    if let Some(row) = rows.first() {
        let reservation = reservation(row)?;
        return Ok(Claimed { late: reservation.expires_at < now, reservation });
    }
    let row = sqlx::query("select * from reservation where id = $1").bind(id.to_string()).fetch_optional(tx).await?;
    Err(match row {
        None => Refusal::NoReservation,
        Some(row) => match judge(config, reservation(&row)?, now) {
            Found::Expired(_) => Refusal::ReservationExpired,
            Found::Used(_) => Refusal::ReservationUsed,
            Found::Pending(_) | Found::Cooling(_) | Found::None => Refusal::NoReservation,
        },
    }
    .into())
}

/// The call that had the reservation has ended. If B never answered, the reservation may be claimed again for the failover
/// window (A4); if B answered (`consume` came before), this only notes that the call is over. Say it at the end of **every** call
/// with a reservation. Does nothing if another call has it by now.
pub async fn release(tx: &mut AnyConnection, id: ReservationId, call: CallId, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    add_release(&mut script, id, call, now);
    script.run(tx).await
}

/// The statement of [`release`], to travel with others.
pub fn add_release(script: &mut Script, id: ReservationId, call: CallId, now: Timestamp) {
    script.add(
        "update reservation set released_at_us = $3 where id = $1 and call_id = $2 and released_at_us is null",
        [id.to_string().into(), call.to_string().into(), now.as_micros().into()],
    );
}

/// B answered: the reservation is used up for good (A5), and its callers may reserve that access number again.
pub async fn consume(tx: &mut AnyConnection, id: ReservationId, call: CallId) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    add_consume(&mut script, id, call);
    script.run(tx).await
}

/// The statements of [`consume`], to travel with others.
pub fn add_consume(script: &mut Script, id: ReservationId, call: CallId) {
    script.add("update reservation set state = 'used' where id = $1 and call_id = $2", [id.to_string().into(), call.to_string().into()]);
    script.add("update reservation_caller set pending = 0 where reservation_id = $1 and pending = 1", [id.to_string().into()]);
}

/// Marks reservations nobody called for, and those that were made after now or would outlive every reservation: between two runs
/// the machine's clock was set back, and nobody knows how old they are. For the night watch and the start. Returns how many.
pub async fn expire(tx: &mut AnyConnection, now: Timestamp) -> Result<u64, sqlx::Error> {
    let (made_by, over_by) = (now + CLOCKS_APART, now + LONGEST_LIFE + CLOCKS_APART);
    sqlx::query(
        "update reservation_caller set pending = 0 where pending = 1 and reservation_id in \
         (select id from reservation where (late_until_us < $1 and state in ('pending', 'claimed')) \
          or ((created_at_us > $2 or expires_at_us > $3) and state = 'pending'))",
    )
    .bind(now.as_micros())
    .bind(made_by.as_micros())
    .bind(over_by.as_micros())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "update reservation set state = 'expired' \
         where state = 'pending' and (late_until_us < $1 or created_at_us > $2 or expires_at_us > $3)",
    )
    .bind(now.as_micros())
    .bind(made_by.as_micros())
    .bind(over_by.as_micros())
    .execute(tx)
    .await
    .map(|done| done.rows_affected())
}

/// Forgets reservations that ended before `before`, and remembered nonces as old. For the night watch.
pub async fn forget(tx: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "delete from reservation_caller where pending = 0 and reservation_id in \
         (select id from reservation where late_until_us < $1 and state <> 'pending')",
    )
    .bind(before.as_micros())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "delete from reservation where late_until_us < $1 and state <> 'pending' \
         and not exists (select 1 from reservation_caller rc where rc.reservation_id = reservation.id)",
    )
    .bind(before.as_micros())
    .execute(tx)
    .await
    .map(|done| done.rows_affected())
}

/// One reservation by id.
pub async fn get(connection: &mut AnyConnection, id: ReservationId) -> Result<Option<Reservation>, sqlx::Error> {
    let row = sqlx::query("select * from reservation where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(reservation).transpose()
}

/// Which reservations a list shows: those that fit everything that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// This subscriber's.
    pub subscriber: Option<SubscriberId>,
    /// Whose call is to come to this number.
    pub access_number: Option<E164>,
    /// To this destination.
    pub destination: Option<E164>,
    /// In this state.
    pub state: Option<State>,
    /// Only those whose call is awaited or up, or only the others.
    pub live: Option<bool>,
}

/// The reservations of a tenant, newest first.
pub async fn list(
    connection: &mut AnyConnection,
    tenant: TenantId,
    filter: &Filter,
    before: Option<ReservationId>,
    limit: u32,
) -> Result<Vec<Reservation>, sqlx::Error> {
    let live = match filter.live {
        Some(true) => "and (state in ('pending', 'claimed') or (state = 'used' and released_at_us is null))",
        Some(false) => "and state not in ('pending', 'claimed') and (state <> 'used' or released_at_us is not null)",
        None => "",
    };
    let sql = format!(
        "select * from reservation where tenant_id = $1 and ($2 = '' or id < $2) and ($3 = '' or subscriber_id = $3)
             and ($4 = '' or access_number = $4) and ($5 = '' or destination = $5) and ($6 = '' or state = $6) {live}
         order by id desc limit $7"
    );
    let text = |value: Option<String>| value.unwrap_or_default();
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.to_string())
        .bind(text(before.map(|id| id.to_string())))
        .bind(text(filter.subscriber.map(|id| id.to_string())))
        .bind(text(filter.access_number.map(|number| number.to_string())))
        .bind(text(filter.destination.map(|number| number.to_string())))
        .bind(text(filter.state.map(|state| state.as_str().to_owned())))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(reservation).collect()
}

/// Takes back a reservation nobody has called for yet. False if there is none such.
pub async fn cancel(tx: &mut AnyConnection, id: ReservationId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("update reservation set state = 'cancelled' where id = $1 and state = 'pending'")
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("update reservation_caller set pending = 0 where reservation_id = $1").bind(id.to_string()).execute(tx).await?;
    Ok(true)
}

/// Adds an access number. The database's unique violation says that it is there already.
pub async fn create_access_number(tx: &mut AnyConnection, number: &AccessNumber) -> Result<(), sqlx::Error> {
    let settings = settings_text(&number.settings);
    sqlx::query("insert into access_number (number, country, enabled, settings, stamp, created_at_us, tenant_id) values ($1, $2, $3, $4, $5, $6, $7)")
        .bind(number.number.to_string())
        .bind(number.country.as_str())
        .bind(i64::from(number.enabled))
        .bind(settings.as_str())
        .bind(stamp(number, &settings))
        .bind(number.created_at.as_micros())
        .bind(number.tenant.to_string())
        .execute(tx)
        .await
        .map(drop)
}

/// Writes over everything but the number and its birth. False if it is not there.
pub async fn update_access_number(tx: &mut AnyConnection, number: &AccessNumber) -> Result<bool, sqlx::Error> {
    let settings = settings_text(&number.settings);
    let done = sqlx::query("update access_number set country = $2, enabled = $3, settings = $4, stamp = $5 where number = $1")
        .bind(number.number.to_string())
        .bind(number.country.as_str())
        .bind(i64::from(number.enabled))
        .bind(settings.as_str())
        .bind(stamp(number, &settings))
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes an access number; its reservations stay as they are. False if it is not there.
pub async fn delete_access_number(tx: &mut AnyConnection, number: E164) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from access_number where number = $1").bind(number.to_string()).execute(tx).await?;
    Ok(done.rows_affected() == 1)
}

/// One access number.
pub async fn get_access_number(connection: &mut AnyConnection, number: E164) -> Result<Option<AccessNumber>, sqlx::Error> {
    let row = sqlx::query("select * from access_number where number = $1").bind(number.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(access_number).transpose()
}

/// Every access number in the order of their digits: the inventory is small.
pub async fn list_access_numbers(connection: &mut AnyConnection) -> Result<Vec<AccessNumber>, sqlx::Error> {
    let rows = sqlx::query("select * from access_number order by number").fetch_all(connection).await?;
    rows.iter().map(access_number).collect()
}

fn judge(config: &Config, reservation: Reservation, now: Timestamp) -> Found {
    let alive = reservation.released_at.is_none();
    let in_life = now <= reservation.late_until && reservation.created_at <= now + CLOCK_SKEW;
    match reservation.state {
        State::Pending if in_life => Found::Pending(reservation),
        State::Pending | State::Expired => Found::Expired(reservation),
        State::Claimed | State::Used if alive => Found::Used(reservation),
        State::Claimed if !in_life => Found::Expired(reservation),
        State::Claimed if again(config, &reservation, now) => Found::Pending(reservation),
        State::Claimed | State::Used | State::Superseded | State::Cancelled => Found::None,
    }
}

fn again(config: &Config, reservation: &Reservation, now: Timestamp) -> bool {
    let in_window = reservation.released_at.is_some_and(|at| now <= at + failover_window(config));
    in_window && i64::from(reservation.claims) < MAX_CLAIMS
}

fn failover_window(config: &Config) -> Duration {
    Duration::from_secs(u64::from(config.failover_window_secs))
}

/// What is kept of a one-time code.
pub(super) fn code_digest(code: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(code.as_bytes()))
}

fn settings_text(settings: &Settings) -> String {
    serde_json::to_string(settings).expect("settings have only text keys")
}

/// Forty bits of a digest of everything the choice looks at; a sum over a large inventory still fits.
fn stamp(number: &AccessNumber, settings: &str) -> i64 {
    let digest = Sha256::digest(format!("{} {} {} {} {settings}", number.tenant, number.number, number.country, number.enabled).as_bytes());
    digest.iter().take(5).fold(0, |stamp, &byte| (stamp << 8) | i64::from(byte))
}

fn access_number(row: &AnyRow) -> Result<AccessNumber, sqlx::Error> {
    Ok(AccessNumber {
        tenant: parsed(row, "tenant_id")?,
        number: parsed(row, "number")?,
        country: parsed::<Country>(row, "country")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        settings: serde_json::from_str(&row.try_get::<String, _>("settings")?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

fn reservation(row: &AnyRow) -> Result<Reservation, sqlx::Error> {
    let state: String = row.try_get("state")?;
    Ok(Reservation {
        tenant: parsed(row, "tenant_id")?,
        id: parsed(row, "id")?,
        subscriber: parsed(row, "subscriber_id")?,
        access_number: parsed(row, "access_number")?,
        destination: parsed(row, "destination")?,
        state: State::parse(&state).ok_or_else(|| sqlx::Error::Decode(format!("reservation state {state}").into()))?,
        rule: row.try_get("rule")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
        expires_at: Timestamp::from_micros(row.try_get("expires_at_us")?),
        late_until: Timestamp::from_micros(row.try_get("late_until_us")?),
        claims: u32::try_from(row.try_get::<i64, _>("claims")?).unwrap_or(u32::MAX),
        call: row.try_get::<Option<String>, _>("call_id")?.map(|id| id.parse()).transpose().map_err(decode)?,
        released_at: row.try_get::<Option<i64>, _>("released_at_us")?.map(Timestamp::from_micros),
        late: row.try_get::<i64, _>("late")? != 0,
        places: row.try_get::<String, _>("places")?.split(' ').filter_map(|place| place.parse().ok()).collect(),
    })
}

fn parsed<T>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(decode)
}

fn decode<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
