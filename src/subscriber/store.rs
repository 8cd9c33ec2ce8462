//! All the room's SQL: subscribers, identities, verified numbers, credentials.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::number::fold_identity;
use super::{Credential, Kind, SignIn, Subscriber, VerifiedNumber};
use crate::database::Script;
use crate::types::{AccountId, CredentialId, E164, Micros, Nanos, Secret, SubscriberId, TenantId, Timestamp};

/// Names one statement looks up.
const NAMED_AT_ONCE: usize = 500;
/// Users of accounts that are read in one statement; accounts that many share may show fewer.
const USERS_AT_ONCE: usize = 2000;

/// Adds a subscriber; the account must exist.
pub async fn create(tx: &mut AnyConnection, subscriber: &Subscriber) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into subscriber (id, account_id, name, home_country, locale, enabled, withholds_number, deck_id, access_wish, \
         max_calls, spend_cap_micros, max_price_nanos, max_calls_hour, longest_call_secs, created_at_us, tenant_id) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(subscriber.id.to_string())
    .bind(subscriber.account.to_string())
    .bind(subscriber.name.as_str())
    .bind(subscriber.home.as_str())
    .bind(subscriber.locale.as_str())
    .bind(i64::from(subscriber.enabled))
    .bind(i64::from(subscriber.withholds_number))
    .bind(subscriber.deck.map(|id| id.to_string()))
    .bind(subscriber.access_wish.map(|number| number.to_string()))
    .bind(subscriber.max_calls.map(i64::from))
    .bind(subscriber.spend_cap.map(Micros::get))
    .bind(subscriber.max_price.map(Nanos::get))
    .bind(subscriber.max_calls_hour.map(i64::from))
    .bind(subscriber.longest_call_secs.map(i64::from))
    .bind(subscriber.created_at.as_micros())
    .bind(subscriber.tenant.to_string())
    .execute(tx)
    .await
    .map(drop)
}

/// Writes over everything but id, account and birth. False if there is none such.
pub async fn update(tx: &mut AnyConnection, subscriber: &Subscriber) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update subscriber set name = $2, home_country = $3, locale = $4, enabled = $5, withholds_number = $6, deck_id = $7, \
         access_wish = $8, max_calls = $9, spend_cap_micros = $10, max_price_nanos = $11, max_calls_hour = $12, \
         longest_call_secs = $13 where id = $1",
    )
    .bind(subscriber.id.to_string())
    .bind(subscriber.name.as_str())
    .bind(subscriber.home.as_str())
    .bind(subscriber.locale.as_str())
    .bind(i64::from(subscriber.enabled))
    .bind(i64::from(subscriber.withholds_number))
    .bind(subscriber.deck.map(|id| id.to_string()))
    .bind(subscriber.access_wish.map(|number| number.to_string()))
    .bind(subscriber.max_calls.map(i64::from))
    .bind(subscriber.spend_cap.map(Micros::get))
    .bind(subscriber.max_price.map(Nanos::get))
    .bind(subscriber.max_calls_hour.map(i64::from))
    .bind(subscriber.longest_call_secs.map(i64::from))
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes away everything by which a subscriber could be known or call: identities, numbers, credentials, remembered nonces, open
/// reservations; the row stays, off and without a name, because the books point to it. False if there is none such.
pub async fn delete(tx: &mut AnyConnection, id: SubscriberId) -> Result<bool, sqlx::Error> {
    for statement in [
        "delete from identity where subscriber_id = $1",
        "delete from subscriber_number where subscriber_id = $1",
        "delete from credential where subscriber_id = $1",
        "delete from nonce where subscriber_id = $1",
        "update reservation_caller set pending = 0 where reservation_id in (select id from reservation where subscriber_id = $1)",
        "update reservation set state = 'cancelled' where subscriber_id = $1 and state = 'pending'",
    ] {
        sqlx::query(statement).bind(id.to_string()).execute(&mut *tx).await?;
    }
    let done = sqlx::query("update subscriber set name = '', enabled = 0, access_wish = null where id = $1")
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Switches a subscriber off, and takes back what waits for their call. False if they were off.
pub async fn suspend(tx: &mut AnyConnection, id: SubscriberId) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query("update subscriber set enabled = 0 where id = $1 and enabled = 1").bind(id.to_string()).execute(&mut *tx).await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    for statement in [
        "update reservation_caller set pending = 0 where reservation_id in (select id from reservation where subscriber_id = $1)",
        "update reservation set state = 'cancelled' where subscriber_id = $1 and state = 'pending'",
    ] {
        sqlx::query(statement).bind(id.to_string()).execute(&mut *tx).await?;
    }
    Ok(true)
}

/// One subscriber.
pub async fn get(connection: &mut AnyConnection, id: SubscriberId) -> Result<Option<Subscriber>, sqlx::Error> {
    let row = sqlx::query("select * from subscriber where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(subscriber).transpose()
}

/// What subscribers are called, for lists that name many; those that are gone are left out.
pub async fn names(
    connection: &mut AnyConnection,
    ids: impl IntoIterator<Item = SubscriberId>,
) -> Result<HashMap<SubscriberId, String>, sqlx::Error> {
    let mut names = HashMap::new();
    let wanted: Vec<_> = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    for some in wanted.chunks(NAMED_AT_ONCE) {
        let places = (1..=some.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("select id, name from subscriber where id in ({places})")));
        for row in some.iter().fold(query, |query, id| query.bind(id.to_string())).fetch_all(&mut *connection).await? {
            let id: String = row.try_get("id")?;
            names.extend(id.parse().ok().zip(row.try_get("name")?));
        }
    }
    Ok(names)
}

/// Who uses these accounts: the eldest of each, so many at most.
pub async fn users(
    connection: &mut AnyConnection,
    accounts: impl IntoIterator<Item = AccountId>,
    most: usize,
) -> Result<HashMap<AccountId, Vec<(SubscriberId, String)>>, sqlx::Error> {
    let mut users: HashMap<AccountId, Vec<_>> = HashMap::new();
    let wanted: Vec<_> = accounts.into_iter().collect();
    for some in wanted.chunks(NAMED_AT_ONCE) {
        let places = (1..=some.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let statement =
            format!("select account_id, id, name from subscriber where account_id in ({places}) order by id limit {USERS_AT_ONCE}");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement));
        for row in some.iter().fold(query, |query, id| query.bind(id.to_string())).fetch_all(&mut *connection).await? {
            let those = users.entry(parsed(&row, "account_id")?).or_default();
            if those.len() < most {
                those.push((parsed(&row, "id")?, row.try_get("name")?));
            }
        }
    }
    Ok(users)
}

/// A tenant's subscribers in the order of their birth; `after` is the id the last page ended with.
pub async fn list(
    connection: &mut AnyConnection,
    tenant: TenantId,
    (name, account): (Option<&str>, Option<AccountId>),
    after: Option<SubscriberId>,
    limit: u32,
) -> Result<Vec<Subscriber>, sqlx::Error> {
    let part = name.map(|name| format!("%{}%", name.trim().to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")));
    let named = if part.is_some() { "and lower(name) like $4 escape '\\'" } else { "" };
    let paid = match (account, part.is_some()) {
        (None, _) => "",
        (Some(_), false) => "and account_id = $4",
        (Some(_), true) => "and account_id = $5",
    };
    let statement = format!("select * from subscriber where tenant_id = $3 and id > $1 {named} {paid} order by id limit $2");
    let query = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(i64::from(limit))
        .bind(tenant.to_string());
    let query = if let Some(part) = part { query.bind(part) } else { query };
    let query = if let Some(account) = account { query.bind(account.to_string()) } else { query };
    query.fetch_all(connection).await?.iter().map(subscriber).collect()
}

/// Who is called `name` at the tenant's door: an identity, or a verified number that is nobody else's there.
pub async fn find(connection: &mut AnyConnection, tenant: TenantId, name: &str) -> Result<Option<Subscriber>, sqlx::Error> {
    let Some(folded) = fold_identity(name) else { return Ok(None) };
    let rows = sqlx::query(
        "select s.* from (select subscriber_id as id from identity where tenant_id = $2 and name = $1 \
         union select subscriber_id from subscriber_number where number = $1) named cross join subscriber s \
         where s.id = named.id and s.tenant_id = $2 limit 2",
    )
    .bind(folded)
    .bind(tenant.to_string())
    .fetch_all(connection)
    .await?;
    if let [row] = rows.as_slice() { subscriber(row).map(Some) } else { Ok(None) }
}

/// Who is called `$1`, or by the number `$2`, at the door of the enabled tenant of the slug `$3`. From the names to the subscribers: the
/// other way round each subscriber of the tenant would be looked at.
macro_rules! called {
    () => {
        "(select s.* from (select i.subscriber_id as id from tenant d join identity i on i.tenant_id = d.id where d.slug = $3 and i.name = $1 \
          union select subscriber_id from subscriber_number where number = $2) named cross join subscriber s cross join tenant t \
          where s.id = named.id and t.id = s.tenant_id and t.slug = $3 and t.enabled = 1) s"
    };
}

/// The same at the door of the enabled tenant of this slug, with everything a sign-in looks at. Digits also stand for a verified number.
pub async fn sign_in(connection: &mut AnyConnection, tenant_slug: &str, name: &str, now: Timestamp) -> Result<Option<SignIn>, sqlx::Error> {
    let Some(folded) = fold_identity(name) else { return Ok(None) };
    let number = folded.parse::<E164>().map_or_else(|_| folded.clone(), |number| number.to_string());
    let called = [folded.into(), number.into(), tenant_slug.into()];
    let mut script = Script::default();
    script.add(concat!("select s.* from ", called!(), " limit 2"), called.clone());
    script.add(
        concat!(
            "select n.number, n.usable_from_us from ",
            called!(),
            " join subscriber_number n on n.subscriber_id = s.id order by n.verified_at_us, n.number limit 100"
        ),
        called.clone(),
    );
    script.add(
        concat!(
            "select c.* from ",
            called!(),
            " join credential c on c.subscriber_id = s.id and c.revoked_at_us is null order by c.id limit 100"
        ),
        called,
    );
    let answers = script.ask(connection).await?;
    // A number that two share stands for neither.
    let [rows, numbers, credentials] = answers.as_slice() else { return Err(sqlx::Error::RowNotFound) };
    let [row] = rows.as_slice() else { return Ok(None) };
    let subscriber = subscriber(row)?;
    let today = row.try_get::<i64, _>("spent_day_us")? == now.start_of_day().as_micros();
    let spent_today = if today { Micros::new(row.try_get("spent_micros")?) } else { Micros::ZERO };
    let had = !numbers.is_empty();
    let usable = |row: &&AnyRow| row.try_get::<i64, _>("usable_from_us").is_ok_and(|from| from <= now.as_micros());
    let numbers = numbers.iter().filter(usable).map(|row| parsed(row, "number")).collect::<Result<Vec<_>, _>>()?;
    let credentials = credentials.iter().map(credential).collect::<Result<_, _>>()?;
    Ok(Some(SignIn { subscriber, cooling: had && numbers.is_empty(), numbers, credentials, spent_today }))
}

/// What is known of a nonce that a request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NonceState {
    /// Never seen; it is remembered now.
    New,
    /// Seen before.
    Seen(SeenNonce),
    /// The subscriber has brought too many; not remembered.
    TooMany,
}

/// A nonce that was seen, and the answer it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenNonce {
    /// Of the fields and the client address.
    pub fingerprint: String,
    /// The answer's status; 0 while it is being found.
    pub status: u16,
    /// The answer's media type.
    pub content_type: String,
    /// The answer.
    pub body: String,
    /// When it came.
    pub seen_at: Timestamp,
}

/// Remembers a nonce, or tells what is known of it. Nonces seen before `since` are forgotten first, and at most `most` are kept.
pub async fn claim_nonce(
    tx: &mut AnyConnection,
    subscriber: SubscriberId,
    nonce: &str,
    fingerprint: &str,
    (now, since): (Timestamp, Timestamp),
    most: i64,
) -> Result<NonceState, sqlx::Error> {
    sqlx::query("delete from nonce where subscriber_id = $1 and seen_at_us < $2")
        .bind(subscriber.to_string())
        .bind(since.as_micros())
        .execute(&mut *tx)
        .await?;
    let done = sqlx::query(
        "insert into nonce (subscriber_id, nonce, fingerprint, status, content_type, body, seen_at_us) \
         select $1, $2, $3, 0, '', '', $4 where (select count(*) from nonce where subscriber_id = $1) < $5 \
         on conflict (subscriber_id, nonce) do nothing",
    )
    .bind(subscriber.to_string())
    .bind(nonce)
    .bind(fingerprint)
    .bind(now.as_micros())
    .bind(most)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(NonceState::New);
    }
    let row = sqlx::query("select * from nonce where subscriber_id = $1 and nonce = $2")
        .bind(subscriber.to_string())
        .bind(nonce)
        .fetch_optional(tx)
        .await?;
    let Some(row) = row else { return Ok(NonceState::TooMany) };
    Ok(NonceState::Seen(SeenNonce {
        fingerprint: row.try_get("fingerprint")?,
        status: u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or(0),
        content_type: row.try_get("content_type")?,
        body: row.try_get("body")?,
        seen_at: Timestamp::from_micros(row.try_get("seen_at_us")?),
    }))
}

/// Keeps the answer that a nonce got.
pub async fn answer_nonce(
    tx: &mut AnyConnection,
    subscriber: SubscriberId,
    nonce: &str,
    (status, content_type, body): (u16, &str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query("update nonce set status = $3, content_type = $4, body = $5 where subscriber_id = $1 and nonce = $2")
        .bind(subscriber.to_string())
        .bind(nonce)
        .bind(i64::from(status))
        .bind(content_type)
        .bind(body)
        .execute(tx)
        .await
        .map(drop)
}

/// Forgets nonces seen before `before`; for the night watch.
pub async fn forget_nonces(tx: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    sqlx::query("delete from nonce where seen_at_us < $1").bind(before.as_micros()).execute(tx).await.map(|done| done.rows_affected())
}

/// Binds a credential to the installation it was first seen with.
pub async fn bind_device(tx: &mut AnyConnection, id: CredentialId, device: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update credential set device = $2 where id = $1 and device is null")
        .bind(id.to_string())
        .bind(device)
        .execute(tx)
        .await
        .map(drop)
}

/// Who of the tenant has verified `number`; more than one for an office line.
pub async fn find_by_number(connection: &mut AnyConnection, tenant: TenantId, number: E164) -> Result<Vec<Subscriber>, sqlx::Error> {
    let rows = sqlx::query(
        "select s.* from subscriber_number n join subscriber s on s.id = n.subscriber_id \
         where n.number = $1 and s.tenant_id = $2 order by s.id limit 100",
    )
    .bind(number.to_string())
    .bind(tenant.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(subscriber).collect()
}

/// Lets `name` stand for the subscriber. The database's unique violation says that it stands for somebody already;
/// false says that it is no name.
pub async fn add_identity(tx: &mut AnyConnection, id: SubscriberId, name: &str) -> Result<bool, sqlx::Error> {
    let Some(folded) = fold_identity(name) else { return Ok(false) };
    sqlx::query("insert into identity (tenant_id, name, subscriber_id) select tenant_id, $1, id from subscriber where id = $2")
        .bind(folded)
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(true)
}

/// Takes `name` away. False if it was not the subscriber's.
pub async fn remove_identity(tx: &mut AnyConnection, id: SubscriberId, name: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("delete from identity where name = $1 and subscriber_id = $2")
        .bind(fold_identity(name).unwrap_or_default())
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The subscriber's names.
pub async fn list_identities(connection: &mut AnyConnection, id: SubscriberId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select name from identity where subscriber_id = $1 order by name").bind(id.to_string()).fetch_all(connection).await
}

/// Notes that the subscriber has shown `number` to be theirs; again is fine and keeps the first time.
pub async fn add_number(tx: &mut AnyConnection, id: SubscriberId, number: VerifiedNumber) -> Result<(), sqlx::Error> {
    change_number(tx, id, number, Duration::ZERO).await
}

/// The same of a subscriber who may have had a number before: then it has to cool down first.
pub async fn change_number(
    tx: &mut AnyConnection,
    id: SubscriberId,
    number: VerifiedNumber,
    cool_down: Duration,
) -> Result<(), sqlx::Error> {
    let mut script = Script::default();
    script.add(
        "insert into subscriber_number (number, subscriber_id, verified_at_us, usable_from_us) \
         select $1, id, $3, case when numbered = 1 then $4 else $5 end from subscriber where id = $2 \
         on conflict (number, subscriber_id) do nothing",
        [
            number.number.to_string().into(),
            id.to_string().into(),
            number.verified_at.as_micros().into(),
            (number.usable_from + cool_down).as_micros().into(),
            number.usable_from.as_micros().into(),
        ],
    );
    script.add("update subscriber set numbered = 1 where id = $1 and numbered = 0", [id.to_string().into()]);
    script.run(tx).await
}

/// Takes a number away, and what waits for its call. False if it was not the subscriber's.
pub async fn remove_number(tx: &mut AnyConnection, id: SubscriberId, number: E164) -> Result<bool, sqlx::Error> {
    for statement in [
        "update reservation set state = 'cancelled' where subscriber_id = $1 and state = 'pending' \
         and id in (select reservation_id from reservation_caller where caller = $2 and pending = 1)",
        "update reservation_caller set pending = 0 where caller = $2 and pending = 1 \
         and reservation_id in (select id from reservation where subscriber_id = $1 and state = 'cancelled')",
    ] {
        sqlx::query(statement).bind(id.to_string()).bind(number.to_string()).execute(&mut *tx).await?;
    }
    let done = sqlx::query("delete from subscriber_number where number = $1 and subscriber_id = $2")
        .bind(number.to_string())
        .bind(id.to_string())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The subscriber's verified numbers, oldest first.
pub async fn list_numbers(connection: &mut AnyConnection, id: SubscriberId) -> Result<Vec<VerifiedNumber>, sqlx::Error> {
    let rows = sqlx::query(
        "select number, verified_at_us, usable_from_us from subscriber_number where subscriber_id = $1 order by verified_at_us, number limit 100",
    )
    .bind(id.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let verified_at = Timestamp::from_micros(row.try_get("verified_at_us")?);
            let usable_from = Timestamp::from_micros(row.try_get("usable_from_us")?).max(verified_at);
            Ok(VerifiedNumber { number: parsed(row, "number")?, verified_at, usable_from })
        })
        .collect()
}

/// Adds a credential made by [`Credential::make`].
pub async fn add_credential(tx: &mut AnyConnection, credential: &Credential) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into credential (id, subscriber_id, kind, device, verifier, sealed, ha1_md5, ha1_sha256, created_at_us) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(credential.id.to_string())
    .bind(credential.subscriber.to_string())
    .bind(credential.kind.as_str())
    .bind(credential.device.as_deref())
    .bind(credential.verifier.expose())
    .bind(credential.sealed.as_deref())
    .bind(credential.ha1_md5.as_ref().map(Secret::expose))
    .bind(credential.ha1_sha256.as_ref().map(Secret::expose))
    .bind(credential.created_at.as_micros())
    .execute(tx)
    .await
    .map(drop)
}

/// The subscriber's credentials, revoked ones included.
pub async fn list_credentials(connection: &mut AnyConnection, id: SubscriberId) -> Result<Vec<Credential>, sqlx::Error> {
    let rows = sqlx::query("select * from credential where subscriber_id = $1 order by id limit 100")
        .bind(id.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(credential).collect()
}

/// Takes a credential back, at once. False if it was not the subscriber's or is back already.
pub async fn revoke_credential(
    tx: &mut AnyConnection,
    subscriber: SubscriberId,
    id: CredentialId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("update credential set revoked_at_us = $3 where id = $1 and subscriber_id = $2 and revoked_at_us is null")
        .bind(id.to_string())
        .bind(subscriber.to_string())
        .bind(now.as_micros())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn subscriber(row: &AnyRow) -> Result<Subscriber, sqlx::Error> {
    let small = |column: &str| -> Result<Option<u32>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|value| u32::try_from(value).unwrap_or(0)))
    };
    Ok(Subscriber {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant_id")?,
        account: parsed(row, "account_id")?,
        name: row.try_get("name")?,
        home: parsed(row, "home_country")?,
        locale: row.try_get("locale")?,
        enabled: row.try_get::<i64, _>("enabled")? != 0,
        withholds_number: row.try_get::<i64, _>("withholds_number")? != 0,
        deck: row.try_get::<Option<String>, _>("deck_id")?.map(|id| id.parse().map_err(decode)).transpose()?,
        access_wish: row.try_get::<Option<String>, _>("access_wish")?.map(|number| number.parse().map_err(decode)).transpose()?,
        max_calls: small("max_calls")?,
        spend_cap: row.try_get::<Option<i64>, _>("spend_cap_micros")?.map(Micros::new),
        max_price: row.try_get::<Option<i64>, _>("max_price_nanos")?.map(Nanos::new),
        max_calls_hour: small("max_calls_hour")?,
        longest_call_secs: small("longest_call_secs")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

fn credential(row: &AnyRow) -> Result<Credential, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    Ok(Credential {
        id: parsed(row, "id")?,
        subscriber: parsed(row, "subscriber_id")?,
        kind: Kind::parse(&kind).ok_or_else(|| sqlx::Error::Decode(format!("credential kind {kind}").into()))?,
        device: row.try_get("device")?,
        verifier: Secret::new(row.try_get::<String, _>("verifier")?),
        sealed: row.try_get("sealed")?,
        ha1_md5: row.try_get::<Option<String>, _>("ha1_md5")?.map(Secret::new),
        ha1_sha256: row.try_get::<Option<String>, _>("ha1_sha256")?.map(Secret::new),
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
        last_used_at: row.try_get::<Option<i64>, _>("last_used_at_us")?.map(Timestamp::from_micros),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at_us")?.map(Timestamp::from_micros),
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
