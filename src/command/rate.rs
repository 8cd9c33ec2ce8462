//! `callthrough rate`: why a call costs what it costs, from the books of the settings.

use std::time::Duration;

use super::{Failure, Settings, on_runtime, open_existing};
use crate::database::Connection;
use crate::rating::explain::{Explanation, Talk, unpriced};
use crate::rating::{self, Decks, store};
use crate::types::{CallId, Clock, E164, TenantId, Timestamp};
use crate::{cdr, ledger};

/// What to ask about prices.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Rate {
    /// Tell in words and numbers what a call to a number costs, or what a past call cost
    Explain(Explain),
}

#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// The destination, such as +15551231234
    #[arg(required_unless_present = "call")]
    number: Option<E164>,
    /// A past call by its id, such as `call_…`
    #[arg(long, conflicts_with_all = ["number", "deck", "at", "secs"])]
    call: Option<CallId>,
    /// The deck by its name; the default deck if left out
    #[arg(long)]
    deck: Option<String>,
    /// Answered at this moment, such as 2030-01-02T03:04:05Z; now if left out
    #[arg(long, value_parser = time)]
    at: Option<Timestamp>,
    /// Length of the talk in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    secs: u32,
    #[command(flatten)]
    settings: Settings,
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write the time as RFC 3339, such as 2030-01-02T03:04:05Z".to_owned())
}

impl Rate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Explain(explain) = self;
        let config = explain.settings.load()?;
        on_runtime(async {
            let database = open_existing(&config).await?;
            let mut connection = database.read().await.map_err(fault)?;
            let explanation = if let Some(call) = explain.call {
                past(&mut connection, call).await?
            } else {
                let decks = Decks::default();
                let at = explain.at.unwrap_or_else(|| Clock::system().timestamp());
                store::refresh(&database, &decks, &config.rating, at).await.map_err(fault)?;
                explain.now(&mut connection, &decks, &config.rating, at).await?
            };
            for sentence in explanation.sentences {
                println!("{sentence}");
            }
            Ok(())
        })
    }
}

impl Explain {
    async fn now(
        &self,
        connection: &mut Connection,
        decks: &Decks,
        config: &rating::Config,
        at: Timestamp,
    ) -> Result<Explanation, Failure> {
        let Some(number) = self.number else { return Err(Failure::other("name a number or a call")) };
        let deck = match &self.deck {
            None => None,
            Some(name) => {
                let deck = store::named(connection, TenantId::MAIN, name).await.map_err(fault)?;
                Some(deck.ok_or_else(|| Failure::other(format!("there is no deck {name}: look at the names of the decks")))?.id)
            }
        };
        let quote = decks.quote(TenantId::MAIN, deck, number, at).ok_or_else(|| {
            let which = self.deck.as_deref().or(Some(config.default_deck.as_str()).filter(|name| !name.is_empty()));
            let which = which.map_or_else(|| "the default deck".to_owned(), |name| format!("the deck {name}"));
            Failure::other(format!("no prefix of {which} fits {number} at {at}, so the call would be refused: import a rate for it"))
        })?;
        let duration = Duration::from_secs(self.secs.into());
        let talk = Talk { answered_at: at, duration, funded_secs: None, answered: true };
        told(store::explain(connection, Some(number), &quote, talk, Vec::new()).await)
    }
}

/// By the copy of the rate in the call's record.
async fn past(connection: &mut Connection, call: CallId) -> Result<Explanation, Failure> {
    let record = cdr::store::get(connection, call).await.map_err(fault)?;
    let record =
        record.ok_or_else(|| Failure::other(format!("there is no record of {call}: check the id, or wait until the call ends")))?;
    let Some((quote, _)) = &record.charged else {
        return Ok(unpriced(record.destination, record.began_at, cdr::cause_word(record.cause)));
    };
    let talk = Talk {
        answered_at: record.answered_at.unwrap_or(record.began_at),
        duration: record.duration,
        funded_secs: ledger::store::funded_secs(connection, call).await.map_err(fault)?,
        answered: record.answered_at.is_some(),
    };
    let trunk = record.trunk_out.clone().unwrap_or_default();
    let carriers = record.cost.iter().map(|(quote, _)| (trunk.clone(), Some(quote.clone()))).collect();
    told(store::explain(connection, record.destination, quote, talk, carriers).await)
}

fn told(explained: Result<Result<Explanation, crate::types::MoneyError>, crate::database::Error>) -> Result<Explanation, Failure> {
    explained.map_err(fault)?.map_err(|error| Failure::other(format!("the charge cannot be computed: {error}")))
}

fn fault(error: crate::database::Error) -> Failure {
    Failure::other(format!("the books cannot be read: {error}"))
}
