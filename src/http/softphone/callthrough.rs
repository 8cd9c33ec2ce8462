//! Web Call-Through: a signed-in phone names a number and is told what to dial.

use super::Door;
use super::mapping::{Field, Fields};
use super::reply::Trouble;
use crate::callthrough::{Answer, Request, request};
use crate::http::auth::SignedIn;
use crate::http::limits::Client;
use crate::types::Country;

/// What to dial for these fields.
pub async fn answer(door: &Door, fields: &Fields, signed_in: &SignedIn, client: Client) -> Result<Answer, Trouble> {
    let target = fields.get(Field::Target).ok_or(Trouble::field("missing_target"))?;
    let who = &signed_in.who;
    let asked = Request {
        subscriber: who.subscriber.clone(),
        callers: who.numbers.clone(),
        cooling: who.cooling,
        target: target.to_owned(),
        wish: fields.get(Field::Access).map(str::to_owned),
        hint: hint(fields),
        source: client.address,
        ios: fields.get(Field::Platform).is_some_and(is_ios),
        nonce: signed_in.nonce.clone(),
        spent_today: who.spent_today,
    };
    request(&door.desk, asked).await.map_err(Trouble::from)
}

/// Where the phone says it is: its country, or the region of its locale.
fn hint(fields: &Fields) -> Option<Country> {
    let country = fields.get(Field::Country).and_then(|country| country.trim().parse().ok());
    country.or_else(|| {
        let locale = fields.get(Field::Locale)?.split('.').next()?;
        locale.split(['-', '_']).skip(1).find(|part| part.len() == 2).and_then(|region| region.parse().ok())
    })
}

fn is_ios(platform: &str) -> bool {
    let platform = platform.to_ascii_lowercase();
    ["ios", "iphone", "ipad"].iter().any(|name| platform.contains(name))
}
