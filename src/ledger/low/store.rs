//! Every SQL statement of the notices.

use sqlx::AnyConnection;

use crate::types::{AccountId, Timestamp};

/// The account runs low since then; none: it does not.
pub(super) async fn note(tx: &mut AnyConnection, account: AccountId, since: Option<Timestamp>) -> Result<(), sqlx::Error> {
    sqlx::query("update account set low_since_us = $2 where id = $1")
        .bind(account.to_string())
        .bind(since.map(Timestamp::as_micros))
        .execute(tx)
        .await
        .map(drop)
}
