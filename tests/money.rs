//! The books against both databases: what a call costs, what a race may spend, what a crash may lose.
//! PostgreSQL is reached by `CALLTHROUGH_TEST_POSTGRES`, which `tests/run` sets; without it its half fails and says so.

mod caps;
mod crash;
mod decks;
mod ledger;
mod life;
mod model;
mod month;
mod race;
mod transfer;
mod verify;

/// Makes each story a test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(callthrough::database::Kind::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(callthrough::database::Kind::Postgres).await;
            })*
        }
    };
}
use on_both;
