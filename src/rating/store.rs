//! Every SQL statement of the room.

use std::sync::Arc;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::deck::{self, Decks, Kind, Quote, Shelf};
use super::explain::{Explanation, Offer, Source, Talk};
use super::{Config, DurationRounding, Exchange, FxRate, Periods, Prefix, Rate, Rounding, Table, TableBuilder};
use crate::database::Database;
use crate::types::{Currency, DeckId, DeckVersionId, E164, Micros, MoneyError, Nanos, TenantId, Timestamp};

/// Rates that are read at a time.
const RATES_A_PAGE: i64 = 10_000;

/// A rate deck by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deck {
    /// Which one.
    pub id: DeckId,
    /// Whose; a carrier's prices are nobody's but the operator's.
    pub tenant: Option<TenantId>,
    /// What its prices are.
    pub kind: Kind,
    /// Its name, the tenant's only one of that name.
    pub name: String,
    /// What its prices are in.
    pub currency: Currency,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One version of a deck. Its rates never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which one.
    pub id: DeckVersionId,
    /// Of which deck.
    pub deck: DeckId,
    /// Its place among the deck's versions, from 1.
    pub number: i64,
    /// Of its content.
    pub fingerprint: String,
    /// The tariff's rounding.
    pub rounding: Rounding,
    /// How durations become whole seconds.
    pub duration_rounding: DurationRounding,
    /// Valid from here on.
    pub effective_from: Timestamp,
    /// When it was applied.
    pub created_at: Timestamp,
}

/// What the store refuses.
#[derive(Debug, thiserror::Error)]
pub enum DeckError {
    /// The name is taken.
    #[error("there is a deck of this name: choose another name, or import a new version of that deck")]
    NameTaken,
    /// The database.
    #[error("the decks cannot be reached: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes a deck without rates.
pub async fn create(tx: &mut AnyConnection, deck: &Deck) -> Result<(), DeckError> {
    let done = sqlx::query(
        "insert into deck (id, name, currency, created_at_us, tenant_id, kind) values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
    )
    .bind(deck.id.to_string())
    .bind(&deck.name)
    .bind(deck.currency.as_str())
    .bind(deck.created_at.as_micros())
    .bind(deck.tenant.map(|tenant| tenant.to_string()))
    .bind(deck.kind.as_str())
    .execute(tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(DeckError::NameTaken) }
}

/// A deck, if there is one.
pub async fn get(connection: &mut AnyConnection, id: DeckId) -> Result<Option<Deck>, sqlx::Error> {
    let row = sqlx::query("select * from deck where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(deck).transpose()
}

/// Which decks a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// This tenant's.
    pub tenant: TenantId,
    /// And the operator's own.
    pub operators: bool,
    /// Only of this kind.
    pub kind: Option<Kind>,
}

/// Decks by id, after `after`.
pub async fn list(connection: &mut AnyConnection, filter: Filter, after: Option<DeckId>, limit: u32) -> Result<Vec<Deck>, sqlx::Error> {
    let rows = sqlx::query(
        "select * from deck where (tenant_id = $1 or (tenant_id is null and $2 = 1)) and ($3 = '' or kind = $3) and id > $4
         order by id limit $5",
    )
    .bind(filter.tenant.to_string())
    .bind(i64::from(filter.operators))
    .bind(filter.kind.map_or("", Kind::as_str))
    .bind(after.map_or_else(String::new, |id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(deck).collect()
}

/// The versions of a deck, newest first.
pub async fn versions(connection: &mut AnyConnection, deck: DeckId) -> Result<Vec<Version>, sqlx::Error> {
    let rows = sqlx::query("select * from deck_version where deck_id = $1 and state = 'active' order by number desc")
        .bind(deck.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(version).collect()
}

/// One version, published or not.
pub async fn one_version(connection: &mut AnyConnection, id: DeckVersionId) -> Result<Option<Version>, sqlx::Error> {
    let row = sqlx::query("select * from deck_version where id = $1").bind(id.to_string()).fetch_optional(connection).await?;
    row.as_ref().map(version).transpose()
}

/// The tenant's deck of this name.
pub async fn named(connection: &mut AnyConnection, tenant: TenantId, name: &str) -> Result<Option<Deck>, sqlx::Error> {
    let row = sqlx::query("select * from deck where tenant_id = $1 and name = $2")
        .bind(tenant.to_string())
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(deck).transpose()
}

/// A prefix near a number: it fits, or almost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relative {
    /// The digits.
    pub prefix: String,
    /// What the deck calls them.
    pub name: String,
    /// Price a minute.
    pub per_minute: Nanos,
}

/// Digits that sort after every prefix that begins as what stands before them.
const AFTER_ALL: &str = "9999999999999999";
/// Longer prefixes on either side of a number that are told.
const NEIGHBOURS: i64 = 2;

/// The prefixes of a version that fit a number, and the nearest longer ones below `matched` that do not.
pub async fn relatives(
    connection: &mut AnyConnection,
    version: DeckVersionId,
    number: &str,
    matched: &str,
) -> Result<Vec<Relative>, sqlx::Error> {
    let read = |row: &AnyRow| {
        Ok(Relative {
            prefix: row.try_get("prefix")?,
            name: row.try_get("name")?,
            per_minute: Nanos::new(row.try_get("per_minute_nanos")?),
        })
    };
    // Always as many places, so that it is one prepared statement; a short number repeats its whole.
    let places = (2..17).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
    let sql = format!("select * from rate where version_id = $1 and prefix in ({places}) order by prefix");
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(version.to_string());
    for length in 1..16 {
        query = query.bind(number.get(..length).unwrap_or(number));
    }
    let mut found = query.fetch_all(&mut *connection).await?.iter().map(read).collect::<Result<Vec<_>, sqlx::Error>>()?;
    for sql in [
        "select * from rate where version_id = $1 and prefix > $2 and prefix < $3 order by prefix desc limit $4",
        "select * from rate where version_id = $1 and prefix > $3 and prefix < $2 order by prefix limit $4",
    ] {
        let bound = if sql.contains("desc") { matched.to_owned() } else { format!("{matched}{AFTER_ALL}") };
        let rows = sqlx::query(sql).bind(version.to_string()).bind(bound).bind(number).bind(NEIGHBOURS).fetch_all(&mut *connection).await?;
        for row in &rows {
            let near = read(row)?;
            if !number.starts_with(&near.prefix) {
                found.push(near);
            }
        }
    }
    Ok(found)
}

/// Where the prices of a quote are from, as the books tell it.
pub async fn source(connection: &mut AnyConnection, quote: &Quote) -> Result<Source, sqlx::Error> {
    let deck = get(&mut *connection, quote.deck).await?;
    let version = one_version(connection, quote.version).await?;
    Ok(Source::of(quote, deck.as_ref(), version.as_ref()))
}

/// Explains a talk to `number` under `quote`; `carriers` are the trunks that may take it with their decks' prices.
pub async fn explain(
    connection: &mut AnyConnection,
    number: Option<E164>,
    quote: &Quote,
    talk: Talk,
    carriers: Vec<(String, Option<Quote>)>,
) -> Result<Result<Explanation, MoneyError>, sqlx::Error> {
    let digits = number.map_or_else(|| quote.prefix.clone(), E164::digits);
    let relatives = relatives(&mut *connection, quote.version, &digits, &quote.prefix).await?;
    let mut offers = Vec::with_capacity(carriers.len());
    for (trunk, quote) in carriers {
        let quote = match quote {
            Some(quote) => {
                let source = source(&mut *connection, &quote).await?;
                Some((quote, source))
            }
            None => None,
        };
        offers.push(Offer { trunk, quote });
    }
    let exchange = Exchange::new(fx_rates(&mut *connection).await?);
    let source = source(connection, quote).await?;
    Ok(super::explain::explain(number, quote, source, talk, relatives, offers, &exchange))
}

/// Writes a version that nobody sees until [`publish`]. Its number is the next; two imports at once cannot have the same.
pub(super) async fn begin(tx: &mut AnyConnection, version: &Version) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into deck_version (id, deck_id, number, fingerprint, state, rounding, effective_from_us, created_at_us, duration_rounding)
         values ($1, $2, $3, $4, 'importing', $5, $6, $7, $8)",
    )
    .bind(version.id.to_string())
    .bind(version.deck.to_string())
    .bind(version.number)
    .bind(&version.fingerprint)
    .bind(version.rounding.as_str())
    .bind(version.effective_from.as_micros())
    .bind(version.created_at.as_micros())
    .bind(version.duration_rounding.as_str())
    .execute(tx)
    .await
    .map(drop)
}

/// A rate on its way into the database.
pub(super) type NewRate = (String, String, Rate);

/// The columns of a rate as the places of a JSON array.
const ADD_SQLITE: &str = "insert into rate (version_id, prefix, name, per_minute_nanos, connect_fee_micros, first_secs, next_secs, min_secs,
         min_charge_micros, grace_secs, periods)
     select $1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9
     from json_each($2)";
const ADD_POSTGRES: &str =
    "insert into rate (version_id, prefix, name, per_minute_nanos, connect_fee_micros, first_secs, next_secs, min_secs,
         min_charge_micros, grace_secs, periods)
     select $1, r ->> 0, r ->> 1, cast(r ->> 2 as bigint), cast(r ->> 3 as bigint), cast(r ->> 4 as bigint), cast(r ->> 5 as bigint),
         cast(r ->> 6 as bigint), cast(r ->> 7 as bigint), cast(r ->> 8 as bigint), r ->> 9
     from jsonb_array_elements(cast($2 as jsonb)) as rows (r)";

/// Adds rates to a version that is not yet published. They travel as one text, which both databases take apart faster than we
/// could hand them over one by one.
pub(super) async fn add(tx: &mut AnyConnection, version: DeckVersionId, rates: &[NewRate]) -> Result<(), sqlx::Error> {
    let sql = if tx.backend_name() == "SQLite" { ADD_SQLITE } else { ADD_POSTGRES };
    let rows: Vec<_> = rates
        .iter()
        .map(|(prefix, name, rate)| {
            let Rate { per_minute, connect_fee, first_secs, next_secs, min_secs, min_charge, grace_secs, periods, .. } = rate;
            let (per_minute, connect_fee, min_charge) = (per_minute.get(), connect_fee.get(), min_charge.get());
            (prefix, name, per_minute, connect_fee, first_secs, next_secs, min_secs, min_charge, grace_secs, periods)
        })
        .collect();
    let rows = serde_json::to_string(&rows).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    sqlx::query(sql).bind(version.to_string()).bind(rows).execute(tx).await.map(drop)
}

/// Makes a version visible, whole.
pub(super) async fn publish(tx: &mut AnyConnection, version: DeckVersionId) -> Result<(), sqlx::Error> {
    sqlx::query("update deck_version set state = 'active' where id = $1").bind(version.to_string()).execute(tx).await.map(drop)
}

/// Versions that nobody finished.
pub(super) async fn crashed(connection: &mut AnyConnection, before: Timestamp) -> Result<Vec<DeckVersionId>, sqlx::Error> {
    let rows = sqlx::query("select id from deck_version where state = 'importing' and created_at_us < $1 order by id limit 100")
        .bind(before.as_micros())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| parse(row, "id")).collect()
}

/// Takes some rates of an unfinished version away; how many they were.
pub(super) async fn forget_rates(tx: &mut AnyConnection, version: DeckVersionId, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "delete from rate where version_id = $1 and prefix in (select prefix from rate where version_id = $1 order by prefix limit $2)
             and exists (select 1 from deck_version v where v.id = $1 and v.state = 'importing')",
    )
    .bind(version.to_string())
    .bind(limit)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// Takes an unfinished version away whose rates are gone.
pub(super) async fn forget_version(tx: &mut AnyConnection, version: DeckVersionId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from deck_version where id = $1 and state = 'importing' and not exists (select 1 from rate r where r.version_id = $1)",
    )
    .bind(version.to_string())
    .execute(tx)
    .await
    .map(drop)
}

/// Rates of a version by prefix, after `after`: for whoever writes them into a file.
pub async fn rates(
    connection: &mut AnyConnection,
    version: &Version,
    after: &str,
    limit: i64,
) -> Result<Vec<(Prefix, String, Rate)>, sqlx::Error> {
    let rows = sqlx::query("select * from rate where version_id = $1 and prefix > $2 order by prefix limit $3")
        .bind(version.id.to_string())
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| rate(row, version)).collect()
}

/// The highest number any version of a deck has, published or not.
pub(super) async fn highest(connection: &mut AnyConnection, deck: DeckId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select coalesce(max(number), 0) from deck_version where deck_id = $1")
        .bind(deck.to_string())
        .fetch_one(connection)
        .await
}

/// Brings `decks` up to date with the database: loads versions that are new, drops those that are over at `now`.
pub async fn refresh(database: &Database, decks: &Decks, config: &Config, now: Timestamp) -> Result<(), sqlx::Error> {
    let before = decks.shelf();
    let mut shelf = Shelf::default();
    let mut connection = database.read().await?;
    let found = sqlx::query("select * from deck order by created_at_us, id").fetch_all(&mut *connection).await?;
    for row in &found {
        let found = deck(row)?;
        // The configured name, or the oldest; a tenant that has no deck of that name has its oldest.
        if let Some(tenant) = found.tenant.filter(|_| found.kind == Kind::Sell) {
            if config.default_deck == found.name {
                shelf.defaults.insert(tenant, found.id);
            } else if config.default_deck.is_empty() || tenant != TenantId::MAIN {
                shelf.defaults.entry(tenant).or_insert(found.id);
            }
        }
        let known = before.decks.get(&found.id);
        let all = self::versions(&mut connection, found.id).await?;
        let newest = all.first().map(|version| version.id);
        let mut versions: Vec<deck::Version> = Vec::new();
        for version in still_of_use(all, now) {
            let table = match known.and_then(|deck| deck.versions.iter().find(|known| known.id == version.id)) {
                Some(known) => Arc::clone(&known.table),
                None => match decks.expected(version.id) {
                    Some(table) => table,
                    None => Arc::new(load(&mut connection, &version).await?),
                },
            };
            versions.push(deck::Version { id: version.id, number: version.number, effective_from: version.effective_from, table });
        }
        versions.sort_by_key(|version| (version.effective_from, version.number));
        let Deck { id, tenant, kind, name, currency, .. } = found;
        shelf.decks.insert(id, deck::Deck { id, tenant, name, kind, currency, newest, versions });
    }
    shelf.exchange = Exchange::new(fx_rates(&mut connection).await?);
    drop(connection);
    if !shelf.defaults.contains_key(&TenantId::MAIN) && !config.default_deck.is_empty() && !shelf.decks.is_empty() {
        tracing::warn!(
            deck.name = config.default_deck,
            "the default deck does not exist; subscribers without a deck of their own have no prices"
        );
    }
    decks.swap(shelf);
    Ok(())
}

/// Exchange rates that are kept in memory, the newest.
const MOST_FX_RATES: i64 = 10_000;

/// All exchange rates, newest first.
pub async fn fx_rates(connection: &mut AnyConnection) -> Result<Vec<FxRate>, sqlx::Error> {
    let rows = sqlx::query("select * from fx_rate order by effective_from_us desc, from_currency, to_currency limit $1")
        .bind(MOST_FX_RATES)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FxRate {
                from: parse(row, "from_currency")?,
                to: parse(row, "to_currency")?,
                rate: super::Fraction::new(row.try_get("numerator")?, row.try_get("denominator")?).map_err(damaged("numerator"))?,
                effective_from: Timestamp::from_micros(row.try_get("effective_from_us")?),
            })
        })
        .collect()
}

/// Adds an exchange rate; false if there is one of these currencies from the same moment on.
pub async fn add_fx_rate(tx: &mut AnyConnection, rate: &FxRate, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "insert into fx_rate (from_currency, to_currency, numerator, denominator, effective_from_us, created_at_us)
         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
    )
    .bind(rate.from.as_str())
    .bind(rate.to.as_str())
    .bind(rate.rate.numerator())
    .bind(rate.rate.denominator())
    .bind(rate.effective_from.as_micros())
    .bind(now.as_micros())
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The version valid at `now` and those to come.
fn still_of_use(versions: Vec<Version>, now: Timestamp) -> Vec<Version> {
    let valid =
        versions.iter().filter(|version| version.effective_from <= now).max_by_key(|version| (version.effective_from, version.number));
    let valid = valid.map(|version| version.id);
    versions.into_iter().filter(|version| Some(version.id) == valid || version.effective_from > now).collect()
}

pub(super) async fn load(connection: &mut AnyConnection, version: &Version) -> Result<Table, sqlx::Error> {
    let mut builder = TableBuilder::default();
    let mut last = String::new();
    loop {
        let rates = rates(&mut *connection, version, &last, RATES_A_PAGE).await?;
        let Some(end) = rates.last() else { return Ok(builder.build()) };
        last = end.0.to_string();
        for (prefix, name, rate) in rates {
            builder.add(prefix, &name, rate);
        }
    }
}

fn rate(row: &AnyRow, version: &Version) -> Result<(Prefix, String, Rate), sqlx::Error> {
    let secs = |column: &'static str| u32::try_from(row.try_get::<i64, _>(column)?).map_err(damaged(column));
    let prefix: String = row.try_get("prefix")?;
    let rate = Rate {
        per_minute: Nanos::new(row.try_get("per_minute_nanos")?),
        connect_fee: Micros::new(row.try_get("connect_fee_micros")?),
        first_secs: secs("first_secs")?,
        next_secs: secs("next_secs")?,
        min_secs: secs("min_secs")?,
        min_charge: Micros::new(row.try_get("min_charge_micros")?),
        grace_secs: secs("grace_secs")?,
        rounding: version.rounding,
        duration_rounding: version.duration_rounding,
        periods: match row.try_get::<String, _>("periods")? {
            none if none.is_empty() => Periods::default(),
            text => text.parse().map_err(damaged("periods"))?,
        },
    };
    Ok((Prefix::parse(&prefix).ok_or_else(|| damaged("prefix")("not 1 to 15 digits"))?, row.try_get("name")?, rate))
}

fn deck(row: &AnyRow) -> Result<Deck, sqlx::Error> {
    Ok(Deck {
        tenant: row.try_get::<Option<String>, _>("tenant_id")?.map(|id| id.parse().map_err(damaged("tenant_id"))).transpose()?,
        kind: Kind::parse(&row.try_get::<String, _>("kind")?).ok_or_else(|| damaged("kind")("an unknown word"))?,
        id: parse(row, "id")?,
        name: row.try_get("name")?,
        currency: parse(row, "currency")?,
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

fn version(row: &AnyRow) -> Result<Version, sqlx::Error> {
    Ok(Version {
        id: parse(row, "id")?,
        deck: parse(row, "deck_id")?,
        number: row.try_get("number")?,
        fingerprint: row.try_get("fingerprint")?,
        rounding: Rounding::parse(&row.try_get::<String, _>("rounding")?).ok_or_else(|| damaged("rounding")("an unknown word"))?,
        duration_rounding: DurationRounding::parse(&row.try_get::<String, _>("duration_rounding")?)
            .ok_or_else(|| damaged("duration_rounding")("an unknown word"))?,
        effective_from: Timestamp::from_micros(row.try_get("effective_from_us")?),
        created_at: Timestamp::from_micros(row.try_get("created_at_us")?),
    })
}

fn parse<T>(row: &AnyRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<String, _>(column)?.parse().map_err(damaged(column))
}

fn damaged<E: Into<Box<dyn std::error::Error + Send + Sync>>>(column: &'static str) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
