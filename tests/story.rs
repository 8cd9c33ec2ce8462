//! A first-time admin with nothing but the pages: from the printed one-time link to the exported month.
//!
//! Every page that is met on the way is looked at closely: pictures in both sizes and themes, an accessibility checker, nothing
//! wider than a phone, no complaint of the browser.

mod admin;
mod authenticator;
mod deck;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use admin::Admin;

use crate::support::folder::Folder;
use crate::support::server::Server;
use crate::support::sipp::{CARRIER, FIRST, Script, free_address};

const OWNER_PASSWORD: &str = "correct horse battery staple";
const SECOND_PASSWORD: &str = "another long word of nobody else";
/// The number of ours that is dialled, whose phone it is, and where it wants to talk to.
const ACCESS_NUMBER: &str = "+15551230000";
const PHONE: &str = "+15551230099";
const DESTINATION: &str = "+15551231234";

/// How long they talk; long enough to be seen at it.
const TALK: Duration = Duration::from_secs(5);
/// Keys, as WebDriver writes them.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

#[test]
fn a_first_time_admin_needs_nothing_but_the_pages() {
    let folder = Folder::new();
    let server = Server::start(&folder, "");
    let link = server.printed(&format!("http://{}/admin/welcome/", server.http));
    let (incoming, onward) = (free_address(CARRIER), free_address(FIRST));

    let mut owner = Admin::sits_down(&server);
    owner.goes_to("/admin");
    owner.browser.sees("Sign in");
    owner.browser.looks_at("sign-in");
    owner.becomes_owner(&link, OWNER_PASSWORD);
    owner.sets_second_factor_up(OWNER_PASSWORD);
    owner.browser.presses("To the overview");
    owner.browser.looks_at("overview-empty");

    creates_a_tenant(&mut owner);
    imports_a_deck(&mut owner, &folder);
    connects_the_carriers(&mut owner, incoming, onward);
    let token = adds_a_subscriber(&mut owner);
    makes_the_call(&mut owner, &server, &folder, &token, (incoming, onward));
    finds_the_call_and_why(&mut owner);
    let call = owner.browser.address();
    let invitation = invites_a_second_person(&mut owner);
    asks_for_a_correction(&mut owner, &call);
    let second = approves(&server, &invitation);
    exports_the_month(&mut owner, &call);
    looks_around(&mut owner);

    owner.browser.has_seen_nothing_wrong();
    second.browser.has_seen_nothing_wrong();
    server.books_are_clean();
}

fn creates_a_tenant(owner: &mut Admin) {
    owner.follows(&["Tenants", "Add a tenant"]);
    owner.confirms_if_asked(OWNER_PASSWORD);
    owner.browser.looks_at("tenant-new");
    owner.fills_in(&[("Name", "Example Telecom"), ("Name in addresses", "example"), ("Home country", "US")]);
    // Enter sends a form.
    owner.browser.strikes(ENTER, "page");
    owner.browser.sees("The tenant is added");
    owner.browser.looks_at("tenant");
}

/// Two hundred thousand rows with three broken lines, and a price that slipped by two places.
fn imports_a_deck(owner: &mut Admin, folder: &Folder) {
    let (file, broken) = deck::with_broken_lines(folder);
    owner.follows(&["Rate decks", "Add a deck"]);
    owner.browser.looks_at("deck-new");
    owner.fills_in(&[("Name", "Retail"), ("Currency", "EUR")]);
    owner.browser.presses("Add the deck");
    owner.browser.sees("Import its prices next");
    owner.browser.looks_at("deck-empty");
    owner.browser.uploads("File", &file);
    owner.browser.presses("Look what would change");
    owner.browser.sees("Broken lines (3)");
    for (line, reason) in &broken {
        owner.browser.sees(line);
        owner.browser.sees(reason);
    }
    owner.browser.looks_at("import-rejected");

    // Two are corrected in the file, the third is left out.
    let file = deck::with_one_broken_line(folder);
    owner.browser.uploads("File", &file);
    owner.browser.types("Broken lines that may be left out", "1");
    owner.browser.presses("Look what would change");
    owner.browser.sees("This is what would change. Nothing has changed yet.");
    owner.browser.sees("199\u{202f}999 rates are in the file");
    owner.browser.sees("Broken lines (1)");
    owner.browser.looks_at("import-checked");
    owner.browser.presses("Look like a slip");
    owner.browser.sees("137");
    owner.browser.looks_at("import-slips");
    // Escape takes back what is asked about.
    owner.browser.presses("Apply it");
    owner.browser.strikes(ESCAPE, "nothing");
    owner.browser.sees("Nothing has changed yet");
    owner.browser.presses_and_confirms("Apply it");
    owner.browser.sees("Applied. The new prices are valid from");
    owner.browser.looks_at("import-applied");
    owner.browser.presses("Retail");
    owner.browser.sees("Save as CSV");
    owner.browser.looks_at("deck");
}

fn connects_the_carriers(owner: &mut Admin, incoming: SocketAddr, onward: SocketAddr) {
    owner.follows(&["Trunks"]);
    owner.browser.looks_at("trunks-empty");
    for (name, addresses, target) in [("incoming", incoming, String::new()), ("onward", onward, onward.to_string())] {
        owner.follows(&["Trunks", "New trunk"]);
        if name == "incoming" {
            owner.browser.looks_at("trunk-new");
        }
        owner.fills_in(&[("Name", name), ("Calls come from", &addresses.to_string()), ("Calls go to", &target)]);
        owner.browser.presses("Make the trunk");
        owner.browser.sees("The trunk is made");
    }
    owner.browser.looks_at("trunk");
    owner.follows(&["Trunks"]);
    owner.browser.looks_at("trunks");
    owner.follows(&["Access numbers"]);
    owner.browser.looks_at("access-numbers-empty");
    owner.browser.presses("Add a number");
    owner.browser.looks_at("access-number-new");
    owner.fills_in(&[("Number", ACCESS_NUMBER), ("Country", "US")]);
    owner.browser.presses("Add the number");
    owner.browser.sees(&format!("{ACCESS_NUMBER} is an access number now"));
    owner.browser.looks_at("access-numbers");
}

/// Somebody who may call, with credit; the token of their phone.
fn adds_a_subscriber(owner: &mut Admin) -> String {
    owner.follows(&["Subscribers"]);
    owner.browser.looks_at("subscribers-empty");
    owner.browser.presses("Add a subscriber");
    owner.browser.looks_at("subscriber-new");
    owner.fills_in(&[("Name", "Alice"), ("Home country", "US"), ("Verified numbers", PHONE), ("Identities", "alice"), ("Currency", "EUR")]);
    // They asked to be let through to dear destinations.
    owner.fills_in(&[("Highest price a minute", "200"), ("Most to spend a day", "1000")]);
    owner.browser.presses("Add the subscriber");
    owner.browser.sees("The subscriber is added");
    owner.browser.looks_at("subscriber");
    owner.browser.presses("Top up");
    owner.confirms_if_asked(OWNER_PASSWORD);
    owner.browser.looks_at("top-up");
    owner.fills_in(&[("Amount", "500"), ("Payment", "receipt 1")]);
    owner.browser.presses("Top up");
    owner.browser.sees("The account is topped up");
    owner.browser.sees("500.00");
    owner.browser.looks_at("account");
    owner.browser.presses("Alice");
    owner.browser.presses("Make a secret");
    owner.browser.sees("It is shown this once");
    owner.browser.looks_at("subscriber-secret");
    owner.browser.one(".secret code").text()
}

/// The phone asks over the web, and then calls what it was told to dial; the far end answers; the phone hangs up.
fn makes_the_call(owner: &mut Admin, server: &Server, folder: &Folder, token: &str, (incoming, onward): (SocketAddr, SocketAddr)) {
    let dialled = asks(server, token);
    assert_eq!(dialled, ACCESS_NUMBER);
    let mut far_end = Script::destination("destination_answers", onward).start(folder.path());
    let caller = Script::caller("caller_hangs_up", incoming, server.sip, PHONE, &dialled);
    let mut caller = caller.pause(TALK).start(folder.path());
    owner.follows(&["Live calls"]);
    owner.browser.sees("Alice");
    owner.browser.looks_at("live-calls");
    caller.succeeds();
    far_end.succeeds();
}

fn asks(server: &Server, token: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let form = [("username", "alice"), ("password", token), ("targetNumber", DESTINATION)];
        let answer = client.post(format!("http://{}/t/example/callthrough", server.http)).form(&form).send().await;
        answer.expect("the softphone door answers").text().await.expect("the answer is whole")
    });
    let dialled = answer.split("<dialString>").nth(1).and_then(|rest| rest.split('<').next());
    dialled.unwrap_or_else(|| panic!("no dial string in {answer}\n{}", server.shown())).to_owned()
}

fn finds_the_call_and_why(owner: &mut Admin) {
    owner.follows(&["Call records"]);
    owner.browser.looks_at("call-records");
    owner.fills_in(&[("Destination begins with", "+1555123")]);
    owner.browser.presses("Search");
    owner.browser.sees("Alice");
    owner.browser.sees("137.00");
    owner.browser.one("td a[href*='/admin/cdrs/']").follow();
    owner.browser.sees("Why it cost this");
    // The price of the slipped prefix, by the full minute.
    owner.browser.sees("1555123");
    owner.browser.sees("137");
    owner.browser.looks_at("call");
}

/// The link for the second person.
fn invites_a_second_person(owner: &mut Admin) -> String {
    owner.follows(&["People"]);
    owner.browser.looks_at("people");
    owner.browser.presses("Invite somebody");
    owner.confirms_if_asked(OWNER_PASSWORD);
    owner.browser.looks_at("person-new");
    owner.fills_in(&[("User name", "billing@example.com"), ("Name", "Billing")]);
    owner.browser.chooses("Role", "billing");
    owner.browser.presses("Make the invitation");
    owner.browser.sees("It holds until");
    owner.browser.looks_at("invitation");
    owner.browser.one(".secret code").text()
}

fn asks_for_a_correction(owner: &mut Admin, call: &str) {
    owner.browser.goes_to(call);
    owner.browser.presses("Correct the charge");
    owner.confirms_if_asked(OWNER_PASSWORD);
    owner.browser.looks_at("correct");
    owner.fills_in(&[("It should have cost", "1.37"), ("Reason", "the price had slipped by two places")]);
    owner.browser.presses("Correct the charge");
    owner.browser.sees("It waits for a second person");
    owner.browser.sees("You asked; somebody else decides");
    owner.browser.looks_at("approval-asked");
    owner.browser.goes_to(call);
    owner.browser.sees("waits for a second person");
    owner.browser.looks_at("call-waiting");
}

/// The second person, at a browser of their own.
fn approves(server: &Server, invitation: &str) -> Admin {
    let mut second = Admin::sits_down(server);
    second.browser.goes_to(invitation);
    second.browser.looks_at("welcome-second");
    second.fills_in(&[("Password", SECOND_PASSWORD), ("The password again", SECOND_PASSWORD)]);
    second.browser.presses("Set the password");
    if second.browser.address().contains("/admin/sign-in") {
        second.fills_in(&[("User name", "billing@example.com"), ("Password", SECOND_PASSWORD)]);
        second.browser.presses("Sign in");
    }
    second.works_for("Example Telecom");
    second.follows(&["Approvals"]);
    second.browser.sees("Correction of a call");
    second.browser.looks_at("approvals");
    second.browser.presses("Correction of a call");
    second.browser.looks_at("approval");
    second.browser.presses_and_confirms("Approve");
    second.browser.sees("Approved. It is done.");
    second.browser.looks_at("approval-approved");
    second
}

fn exports_the_month(owner: &mut Admin, call: &str) {
    owner.browser.goes_to(call);
    owner.browser.sees("Charge, corrected");
    owner.browser.sees("1.37");
    owner.browser.looks_at("call-corrected");
    owner.follows(&["Accounts"]);
    owner.browser.sees("498.63");
    owner.browser.looks_at("accounts");
    owner.browser.presses("Alice");
    owner.browser.looks_at("account-corrected");
    owner.browser.presses("Statements");
    owner.browser.looks_at("statements");
    owner.browser.one("td a").follow();
    owner.browser.sees("receipt 1");
    owner.browser.looks_at("statement");
    let (name, statement) = owner.browser.downloads("Save as CSV");
    assert!(name.starts_with("statements-2") && Path::new(&name).extension().is_some_and(|kind| kind == "csv"), "{name}");
    let movements: Vec<&str> = statement.lines().collect();
    for (kind, amount) in [("top_up", "500"), ("charge", "-137"), ("reversal", "137"), ("correction", "-1.37")] {
        let found = movements.iter().any(|line| line.contains(kind) && line.split(',').any(|cell| cell.trim_end_matches(".00") == amount));
        assert!(found, "no {kind} of {amount} in {name}:\n{statement}");
    }
    owner.follows(&["Accounts", "Months"]);
    owner.browser.looks_at("months");
    owner.browser.one("td a").follow();
    owner.browser.looks_at("month");
    let (_, month) = owner.browser.downloads("Save as CSV");
    assert!(month.lines().count() >= 5, "{month}");
    owner.follows(&["Audit log"]);
    owner.browser.sees("Billing");
    owner.browser.looks_at("audit");
    // The night watch has added the call up by now.
    owner.follows(&["Overview"]);
    owner.browser.sees("100.0 %");
    owner.browser.looks_at("overview");
}

/// The pages that this way does not lead over, with something on them.
fn looks_around(owner: &mut Admin) {
    for (section, name) in [
        ("Reservations", "reservations"),
        ("Alerts", "alerts"),
        ("Rules", "rules"),
        ("Hotlists", "hotlists"),
        ("Exchange rates", "exchange-rates"),
        ("API keys", "keys"),
    ] {
        owner.follows(&[section]);
        owner.browser.looks_at(name);
    }
    owner.follows(&["Explain a rate"]);
    owner.fills_in(&[("Number that is called", DESTINATION)]);
    owner.browser.presses("Search");
    owner.browser.sees("In words");
    owner.browser.looks_at("explain");
    owner.follows(&["Trunks", "incoming"]);
    owner.fills_in(&[("Number as it stands in a call", "0015551231234")]);
    owner.browser.presses("Try it");
    owner.browser.sees("Arriving it means");
    owner.browser.looks_at("trunk-tried");
}
