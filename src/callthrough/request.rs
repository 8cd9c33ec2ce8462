//! A request of a phone: "I want this number". The answer is what to dial. No money moves; rate and credit are only asked.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::access_number::{AccessNumber, Mode, Rule, Signals, rank};
use super::dial_string::{DialString, PinText};
use super::store::{self, Ask, Reserved};
use super::{Availability, Config, Emergency, Error};
use crate::database::{self, Database, Script};
use crate::geoip::GeoIp;
use crate::ledger::hold::{Limits, Room, Usage};
use crate::ledger::{self, Account};
use crate::rating::{Decks, Quote};
use crate::subscriber::Subscriber;
use crate::types::{Clock, Country, E164, Micros, Money, Random, Refusal, ReservationId, emergency_number};

/// Attempts at a reservation when another node takes the same pair at the same instant.
const ATTEMPTS: usize = 4;

/// What the front desk needs to answer requests.
pub struct Desk {
    /// The books.
    pub database: Database,
    /// Price tables.
    pub decks: Decks,
    /// Where addresses are.
    pub geoip: GeoIp,
    /// How the rest of the house is.
    pub availability: Arc<dyn Availability>,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Settings of this room.
    pub config: Config,
    /// Settings of the books: limits of those who have none of their own.
    pub ledger: ledger::Config,
    /// The access numbers as of a sum of stamps.
    pub inventory: Inventory,
}

/// A copy of the access numbers that is good as long as the sum of their stamps in the books is the same.
#[derive(Default)]
pub struct Inventory(RwLock<(i64, Arc<Vec<AccessNumber>>)>);

/// What a signed-in subscriber asks.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who.
    pub subscriber: Subscriber,
    /// Their verified numbers that may call.
    pub callers: Vec<E164>,
    /// They have numbers, and all of them have to cool down yet: no other way of calling takes their place.
    pub cooling: bool,
    /// What they want to reach, as it was typed.
    pub target: String,
    /// The access number they named.
    pub wish: Option<String>,
    /// Where the phone says it is.
    pub hint: Option<Country>,
    /// Where the request came from.
    pub source: IpAddr,
    /// Whether the phone is an iPhone: it dials no `#` and `*`.
    pub ios: bool,
    /// Nonce of the request, for the audit.
    pub nonce: Option<String>,
    /// Settled today, for the cap.
    pub spent_today: Micros,
}

/// What to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For the phone's dialler.
    pub dial_string: DialString,
    /// The reservation that was written; none for an emergency number.
    pub reservation: Option<ReservationId>,
}

/// A refusal with what its message should say.
#[derive(Debug)]
pub enum Refused {
    /// We say no.
    No(Refusal),
    /// Available credit does not pay for the first minute: top up at least this much.
    TopUp(Money),
    /// Withheld or unverified, and no access number takes codes: show the number, or verify one.
    ShowNumber,
    /// The books failed.
    Fault(String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::No(refusal)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::No(refusal),
            Error::Fault(fault) => Self::Fault(fault.to_string()),
        }
    }
}

/// Answers a request. The reservation is durable, and visible to every node, when this returns.
pub async fn request(desk: &Desk, request: Request) -> Result<Answer, Refused> {
    let (tenant, subscriber) = (request.subscriber.tenant, request.subscriber.id);
    let answered = answer(desk, request).await;
    if let Err(Refused::No(refusal)) = &answered {
        desk.config.rules.refused(tenant, subscriber, *refusal, desk.clock.timestamp());
    }
    answered
}

async fn answer(desk: &Desk, request: Request) -> Result<Answer, Refused> {
    let place = desk.geoip.locate(request.source);
    let (inventory, last_used, account) = look_up(desk, &request).await?;
    let places = places(&request, &inventory, place.country);
    if let Some(answer) = emergency(&desk.config, &request, &places) {
        return answer;
    }
    if request.cooling {
        return Err(Refusal::CoolingDown.into());
    }
    let destination = E164::parse(&request.target, request.subscriber.home).map_err(|_| Refusal::NoSuchNumber)?;
    desk.config.may_call(request.subscriber.tenant, destination, &places)?;
    if desk.availability.draining() {
        return Err(Refusal::Draining.into());
    }
    if !desk.availability.reachable(destination) {
        return Err(Refusal::AllTrunksFailed.into());
    }
    afford(desk, &request, &account, destination)?;
    let signals = Signals {
        tenant: request.subscriber.tenant,
        wish: wish(&request),
        hint: request.hint.filter(|_| desk.config.trust_country_hint),
        geoip: place.country,
        coordinates: place.coordinates,
        home: request.subscriber.home,
        last_used,
    };
    let reserved = reserve(desk, &request, &inventory, signals, destination, places).await?;
    tracing::info!(
        subscriber.id = %request.subscriber.id,
        reservation.id = %reserved.id,
        reservation.rule = reserved.rule.map_or("renewed", Rule::as_str),
        reservation.superseded = reserved.superseded,
        access_number = ?reserved.access_number,
        destination = ?destination,
        geoip.country = place.country.map(tracing::field::display),
        "an access number is reserved"
    );
    let number = inventory.iter().find(|number| number.number == reserved.access_number).ok_or(Refusal::NoAccessNumber)?;
    let dial_string = dial(number, &reserved, destination, request.ios).ok_or(Refusal::NoAccessNumber)?;
    Ok(Answer { dial_string, reservation: Some(reserved.id) })
}

async fn look_up(desk: &Desk, request: &Request) -> Result<(Arc<Vec<AccessNumber>>, Option<E164>, Account), Refused> {
    let mut connection = desk.database.read().await.map_err(Error::Fault)?;
    let mut script = Script::default();
    store::add_recall(&mut script, request.subscriber.id);
    ledger::store::add_get(&mut script, request.subscriber.account);
    let answers = script.ask(&mut connection).await.map_err(Error::Fault)?;
    let [recalled, account] = answers.as_slice() else { return Err(Error::Fault(database::Error::RowNotFound).into()) };
    let recalled = recalled.first().ok_or(Error::Fault(database::Error::RowNotFound))?;
    let (stamps, last_used) = store::recalled(recalled).map_err(Error::Fault)?;
    let known = desk.inventory.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    let inventory = if known.0 == stamps {
        known.1
    } else {
        let fresh = Arc::new(store::list_access_numbers(&mut connection).await.map_err(Error::Fault)?);
        *desk.inventory.0.write().unwrap_or_else(PoisonError::into_inner) = (store::stamps(&fresh), fresh.clone());
        fresh
    };
    let account = ledger::store::read_account(request.subscriber.account, account.first())
        .map_err(|error| Refused::Fault(error.to_string()))?
        .ok_or_else(|| Refused::Fault(format!("subscriber {} has no account", request.subscriber.id)))?;
    Ok((inventory, last_used, account))
}

/// Where the phone may be: the home country, our access numbers' countries, the country of the request and the one it says.
fn places(request: &Request, inventory: &[AccessNumber], country: Option<Country>) -> Vec<Country> {
    let ours = inventory.iter().filter(|number| number.tenant == request.subscriber.tenant);
    let mut places: Vec<Country> = ours.map(|number| number.country).chain(country).collect();
    places.push(request.subscriber.home);
    places.extend(request.hint);
    places.sort_unstable();
    places.dedup();
    places
}

/// Emergency numbers of all these places, in any form.
fn emergency(config: &Config, request: &Request, places: &[Country]) -> Option<Result<Answer, Refused>> {
    let digits = emergency_number(&request.target, places)?;
    Some(match (config.emergency, DialString::emergency(&digits)) {
        (Emergency::Native, Some(dial_string)) => Ok(Answer { dial_string, reservation: None }),
        (Emergency::Native | Emergency::Refuse, _) => Err(Refusal::Emergency.into()),
    })
}

/// Would the call be authorised now? Asked again, with money, when it arrives.
fn afford(desk: &Desk, request: &Request, account: &Account, destination: E164) -> Result<(), Refused> {
    let quote =
        desk.decks.quote(request.subscriber.tenant, request.subscriber.deck, destination, desk.clock.timestamp()).ok_or(Refusal::NoRate)?;
    if quote.currency != account.currency {
        return Err(Refusal::NoRate.into());
    }
    let limits = limits(&desk.ledger, &request.subscriber);
    let usage = Usage { calls: 0, calls_hour: 0, spent: request.spent_today, held: account.held, tenant: Room::default() };
    let slice = ledger::hold::authorise(&desk.ledger, &limits, account, &usage, &quote.rate);
    match slice.map_err(|error| Refused::Fault(error.to_string()))? {
        Ok(_) => Ok(()),
        Err(Refusal::NotEnoughCredit) => {
            Err(missing(desk, &quote, account, limits).map_or(Refusal::NotEnoughCredit.into(), Refused::TopUp))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn limits(config: &ledger::Config, subscriber: &Subscriber) -> Limits {
    Limits {
        max_calls: subscriber.max_calls.unwrap_or(config.max_calls).max(1),
        spend_cap: subscriber.spend_cap.unwrap_or(config.spend_cap),
        max_price: subscriber.max_price.unwrap_or_else(|| config.max_price()),
        max_calls_hour: subscriber.max_calls_hour.unwrap_or(config.max_calls_hour).max(1),
        longest_call_secs: subscriber.longest_call_secs.unwrap_or(config.longest_call_secs),
    }
}

/// How much more credit the shortest call needs.
fn missing(desk: &Desk, quote: &Quote, account: &Account, limits: Limits) -> Option<Money> {
    let shortest = quote.rate.first_secs.max(desk.ledger.min_talk_secs).min(limits.longest_call_secs);
    let amount = quote.rate.charge(shortest).ok()?.amount.minus(account.available().ok()?).ok()?;
    (amount > Micros::ZERO).then_some(Money { amount, currency: account.currency })
}

fn wish(request: &Request) -> Option<E164> {
    let asked = request.wish.as_deref().and_then(|wish| E164::parse(wish, request.subscriber.home).ok());
    asked.or(request.subscriber.access_wish)
}

async fn reserve(
    desk: &Desk,
    request: &Request,
    inventory: &Arc<Vec<AccessNumber>>,
    signals: Signals,
    destination: E164,
    places: Vec<Country>,
) -> Result<Reserved, Refused> {
    let shows_number = !request.callers.is_empty() && !request.subscriber.withholds_number;
    let callers = if shows_number { request.callers.clone() } else { Vec::new() };
    for attempt in 1.. {
        let (tenant, subscriber, callers, source) =
            (request.subscriber.tenant, request.subscriber.id, callers.clone(), request.source.to_string());
        let (inventory, availability, nonce) = (inventory.clone(), desk.availability.clone(), request.nonce.clone());
        let (config, clock, random, places) = (desk.config.clone(), desk.clock.clone(), desk.random.clone(), places.clone());
        let written = desk
            .database
            .write(move |tx| {
                Box::pin(async move {
                    let live = |number: &AccessNumber| availability.live_calls(number.number);
                    let usable = |number: &AccessNumber| number.settings.trunk.as_deref().is_none_or(|trunk| availability.trunk_up(trunk));
                    let choose = |possible: &[Mode]| rank(&inventory, &signals, possible, live, usable);
                    let groups = choose(if shows_number { &[Mode::Pinless, Mode::Pin] } else { &[Mode::Code, Mode::Pin] });
                    let fallback = choose(&[Mode::Code]);
                    let ask = Ask { tenant, subscriber, callers, destination, groups, fallback, source, nonce, places };
                    store::reserve(tx, &config, &ask, &clock, &random).await
                })
            })
            .await;
        match written {
            Ok(reserved) => return Ok(reserved),
            Err(error) if error.lost_a_race() && attempt < ATTEMPTS => {}
            Err(Error::Refused(Refusal::NoAccessNumber)) if !shows_number => return Err(Refused::ShowNumber),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::NoAccessNumber.into())
}

fn dial(number: &AccessNumber, reserved: &Reserved, destination: E164, ios: bool) -> Option<DialString> {
    match reserved.mode {
        Mode::Pinless => Some(DialString::pinless(number)),
        Mode::Code => DialString::code(number, reserved.code.as_deref()?),
        Mode::Pin => {
            let pin: PinText = number.settings.pin.as_deref()?.parse().ok()?;
            DialString::pin(number, &pin, destination, ios)
        }
    }
}
