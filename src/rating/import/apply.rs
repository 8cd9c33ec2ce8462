//! A sheet becomes a version: written in pieces between which calls are let in and settled, switched on whole.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::read::Sheet;
use super::{ImportError, Progress};
use crate::database::{Connection, Database, Work};
use crate::rating::{Decks, DurationRounding, Rate, Rounding, Shelf, Table, store};
use crate::types::{Clock, DeckId, DeckVersionId, Random, Timestamp};

/// Rates written between two moments at which calls may write.
const ROWS_A_PIECE: usize = 4000;
/// Rates of a crashed import that are taken away at a time.
const SWEPT_A_PIECE: i64 = 4000;
/// An import that has not been published after this long is taken for crashed.
const CRASHED_AFTER: Duration = Duration::from_secs(3600);

/// An import that somebody looked at.
#[derive(Debug, Clone)]
pub struct Apply {
    /// The deck.
    pub deck: DeckId,
    /// Its rates to be.
    pub sheet: Sheet,
    /// What the dry run printed.
    pub fingerprint: String,
    /// Valid from here on.
    pub effective_from: Timestamp,
}

/// Of everything that decides what goes live: the deck, the version it follows, the rounding, every rate.
pub fn fingerprint(shelf: &Shelf, deck: DeckId, sheet: &Sheet) -> String {
    let mut hasher = Sha256::new();
    let newest = shelf.decks.get(&deck).and_then(|deck| deck.newest);
    hasher.update(deck.to_string());
    hasher.update(newest.map_or_else(|| "first".to_owned(), |version| version.to_string()));
    hasher.update(sheet.rounding.as_str());
    hasher.update(sheet.duration_rounding.as_str());
    for row in sheet.table.rows() {
        let Rate {
            per_minute,
            connect_fee,
            first_secs,
            next_secs,
            min_secs,
            min_charge,
            grace_secs,
            rounding: _,
            duration_rounding: _,
            periods,
        } = row.rate;
        let (per_minute, connect_fee, min_charge) = (per_minute.get(), connect_fee.get(), min_charge.get());
        let line = format!(
            "\n{}\t{per_minute}\t{connect_fee}\t{first_secs}\t{next_secs}\t{min_secs}\t{min_charge}\t{grace_secs}\t{periods}\t{}\t",
            row.prefix,
            row.name.len()
        );
        hasher.update(line);
        hasher.update(row.name);
    }
    hasher.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the sheet as a new version of its deck if the fingerprint is that of the dry run. The version is visible whole or not
/// at all; afterwards [`store::refresh`] puts it on the shelf.
pub async fn apply(database: &Database, decks: &Decks, clock: &Clock, random: &Random, order: Apply) -> Result<DeckVersionId, ImportError> {
    apply_with(database, decks, clock, random, order, &Progress::default(), |_| None).await
}

/// What is done in the transaction of the switch: the line in the audit log.
pub type Also = Box<dyn for<'c> FnOnce(&'c mut Connection) -> Work<'c, Result<(), sqlx::Error>> + Send>;

/// The same; says how far it is, and does something else together with the switch.
pub async fn apply_with(
    database: &Database,
    decks: &Decks,
    clock: &Clock,
    random: &Random,
    order: Apply,
    progress: &Progress,
    also: impl FnOnce(&store::Version) -> Option<Also>,
) -> Result<DeckVersionId, ImportError> {
    let Apply { deck, sheet, fingerprint: expected, effective_from } = order;
    let mut connection = database.read().await?;
    if store::get(&mut connection, deck).await?.is_none() {
        return Err(ImportError::NoDeck);
    }
    let newest = store::versions(&mut connection, deck).await?.first().map(|version| version.id);
    drop(connection);
    let shelf = decks.shelf();
    let on_shelf = shelf.decks.get(&deck).and_then(|deck| deck.newest);
    if newest != on_shelf || fingerprint(&shelf, deck, &sheet) != expected {
        return Err(ImportError::Fingerprint);
    }
    drop(shelf);
    let new = New { deck, fingerprint: expected, rounding: sheet.rounding, duration_rounding: sheet.duration_rounding, effective_from };
    write_version(database, decks, clock, random, new, sheet.table, progress, also).await
}

/// Makes a new version that is the same as an old one of its deck.
pub async fn roll_back(
    database: &Database,
    decks: &Decks,
    clock: &Clock,
    random: &Random,
    to: &store::Version,
    effective_from: Timestamp,
    also: impl FnOnce(&store::Version) -> Option<Also>,
) -> Result<DeckVersionId, ImportError> {
    let shelf = decks.shelf();
    let known = shelf.decks.get(&to.deck).and_then(|deck| deck.versions.iter().find(|version| version.id == to.id));
    let table = match known {
        Some(known) => Arc::clone(&known.table),
        None => Arc::new(store::load(&mut *database.read().await?, to).await?),
    };
    drop(shelf);
    let new = New {
        deck: to.deck,
        fingerprint: to.fingerprint.clone(),
        rounding: to.rounding,
        duration_rounding: to.duration_rounding,
        effective_from,
    };
    write_version(database, decks, clock, random, new, table, &Progress::default(), also).await
}

struct New {
    deck: DeckId,
    fingerprint: String,
    rounding: Rounding,
    duration_rounding: DurationRounding,
    effective_from: Timestamp,
}

#[expect(clippy::too_many_arguments, reason = "who writes, what is written, who is told")]
async fn write_version(
    database: &Database,
    decks: &Decks,
    clock: &Clock,
    random: &Random,
    new: New,
    table: Arc<Table>,
    progress: &Progress,
    also: impl FnOnce(&store::Version) -> Option<Also>,
) -> Result<DeckVersionId, ImportError> {
    let now = clock.timestamp();
    sweep(database, now).await?;
    let number = store::highest(&mut *database.read().await?, new.deck).await? + 1;
    let id = DeckVersionId::new(clock, random);
    let New { deck, fingerprint, rounding, duration_rounding, effective_from } = new;
    let version = store::Version { id, deck, number, fingerprint, rounding, duration_rounding, effective_from, created_at: now };
    let also = also(&version);
    database.write(move |tx| Box::pin(async move { store::begin(tx, &version).await })).await?;
    let mut piece: Vec<store::NewRate> = Vec::with_capacity(ROWS_A_PIECE);
    for (at, row) in (1..).zip(table.rows()) {
        piece.push((row.prefix.to_string(), row.name.to_owned(), row.rate.clone()));
        if piece.len() == ROWS_A_PIECE || at == table.len() {
            let rates = std::mem::replace(&mut piece, Vec::with_capacity(ROWS_A_PIECE));
            let written = u64::try_from(rates.len()).unwrap_or(0);
            database.write(move |tx| Box::pin(async move { store::add(tx, id, &rates).await })).await?;
            progress.written(written);
        }
    }
    database
        .write(move |tx| {
            Box::pin(async move {
                store::publish(tx, id).await?;
                match also {
                    Some(also) => also(tx).await,
                    None => Ok(()),
                }
            })
        })
        .await?;
    decks.expect(id, table);
    Ok(id)
}

/// Takes away what crashed imports left behind, in pieces between which calls may write.
pub async fn sweep(database: &Database, now: Timestamp) -> Result<u64, sqlx::Error> {
    let crashed = store::crashed(&mut *database.read().await?, now - CRASHED_AFTER).await?;
    let mut swept = 0;
    for version in crashed {
        loop {
            let gone = database.write(move |tx| Box::pin(async move { store::forget_rates(tx, version, SWEPT_A_PIECE).await })).await?;
            swept += gone;
            if gone == 0 {
                break;
            }
        }
        database.write(move |tx| Box::pin(async move { store::forget_version(tx, version).await })).await?;
    }
    Ok(swept)
}
