//! What the operator sets up before the story begins, all of it through the API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::api::Api;
use crate::command::Failure;
use crate::types::E164;

/// The price of the destination: 0.48 EUR a minute by the second is 0.008 EUR a second.
pub(super) const PRICE: &str = "0.48";
/// Ada's credit: it pays for 5.6 seconds, so for 5.
pub(super) const CREDIT: &str = "0.045";
/// Ada's verified number.
pub(super) const ADA: &str = "+420601123456";
/// Ben's credit: as good as endless here.
const BENS_CREDIT: &str = "10.00";

/// One access number of ours, and where somebody is who should get it.
pub(super) struct Country {
    pub(super) code: &'static str,
    pub(super) access_number: &'static str,
    pub(super) client_address: &'static str,
    /// Whose address that is.
    pub(super) whose: &'static str,
}

/// Four countries. The addresses are those of public name services, which stay where they are and belong to nobody's home;
/// the addresses set aside for documentation (RFC 5737) are in no country, so they would not show the choice by GeoIP.
pub(super) const COUNTRIES: [Country; 4] = [
    Country { code: "CZ", access_number: "+420601123000", client_address: "193.17.47.1", whose: "CZ.NIC's public resolver" },
    Country { code: "DE", access_number: "+493023125000", client_address: "81.91.164.5", whose: "a name server of DENIC" },
    Country { code: "GB", access_number: "+442079460000", client_address: "213.248.216.1", whose: "a name server of Nominet" },
    Country { code: "US", access_number: "+15551230000", client_address: "8.8.8.8", whose: "Google Public DNS" },
];

/// Somebody with a phone.
pub(super) struct Person {
    pub(super) user: &'static str,
    pub(super) number: E164,
    pub(super) token: String,
    pub(super) subscriber: String,
    pub(super) account: String,
}

/// Who there is now.
pub(super) struct World {
    pub(super) ada: Person,
    pub(super) ben: Person,
}

pub(super) async fn provision(api: &Api, carrier_in: SocketAddr, north: SocketAddr, south: SocketAddr) -> Result<World, Failure> {
    let deck = api.post("/decks", &json!({ "name": "Demo", "currency": "EUR" })).await?;
    let csv = format!("prefix,name,per_minute,first_secs,next_secs\n1,North America,{PRICE},1,1\n420,Czechia,0.05,60,60\n");
    let import = format!("/decks/{}/import", text(&deck, "id")?);
    // A dry run first: what goes live is what somebody looked at.
    let report = api.post_csv(&import, &csv).await?;
    api.post_csv(&format!("{import}?fingerprint={}", text(&report["report"], "fingerprint")?), &csv).await?;
    for country in &COUNTRIES {
        api.post("/access-numbers", &json!({ "number": country.access_number, "country": country.code })).await?;
    }
    api.post("/trunks", &json!({ "name": "incoming", "addresses": [carrier_in.to_string()] })).await?;
    api.post("/trunks", &json!({ "name": "north", "priority": 10, "addresses": [north.to_string()], "target": north.to_string() })).await?;
    api.post("/trunks", &json!({ "name": "south", "priority": 20, "addresses": [south.to_string()], "target": south.to_string() })).await?;
    Ok(World {
        ada: person(api, "ada", "Ada Dvořáková", "CZ", ADA, CREDIT).await?,
        ben: person(api, "ben", "Ben Archer", "GB", "+447700900123", BENS_CREDIT).await?,
    })
}

async fn person(api: &Api, user: &'static str, name: &str, home: &str, number: &'static str, credit: &str) -> Result<Person, Failure> {
    let subscriber = api
        .post("/subscribers", &json!({ "name": name, "home_country": home, "currency": "EUR", "identities": [user], "numbers": [number] }))
        .await?;
    let (id, account) = (text(&subscriber, "id")?, text(&subscriber, "account_id")?);
    let credential = api.post(&format!("/subscribers/{id}/credentials"), &json!({ "kind": "token" })).await?;
    let top_up = json!({ "amount": { "amount": credit, "currency": "EUR" }, "payment": format!("cash of {user}") });
    api.post(&format!("/accounts/{account}/top_up"), &top_up).await?;
    let number = number.parse().map_err(|error| Failure::other(format!("{number}: {error}")))?;
    Ok(Person { user, number, token: text(&credential, "secret")?, subscriber: id, account })
}

/// A field that must be there.
pub(super) fn text(value: &Value, field: &str) -> Result<String, Failure> {
    value[field].as_str().map(str::to_owned).ok_or_else(|| Failure::other(format!("the API left out {field}: {value}")))
}
