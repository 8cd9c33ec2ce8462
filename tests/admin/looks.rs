//! The pages of customers, their money and who keeps the books, in a real browser: pictures in both sizes and themes, an
//! accessibility checker, nothing wider than a phone, no complaint of the browser. And what scripts add.

use crate::support::browser::Browser;
use crate::support::folder::Folder;
use crate::support::server::Server;

const PASSWORD: &str = "correct horse battery staple";

#[test]
fn every_page_is_fit_to_be_seen() {
    let folder = Folder::new();
    let server = Server::start(&folder, "");
    let link = server.printed(&format!("http://{}/admin/welcome/", server.http));
    let mut browser = Browser::start();
    let home = format!("http://{}", server.http);
    browser.goes_to(&link);
    for (label, text) in
        [("User name", "owner@example.com"), ("Your name", "Owner"), ("Password", PASSWORD), ("The password again", PASSWORD)]
    {
        browser.types(label, text);
    }
    browser.presses("Become the owner");
    browser.sees("Your sign-in");

    browser.goes_to(&format!("{home}/admin/subscribers/new"));
    for (label, text) in [("Name", "Alice"), ("Home country", "CZ"), ("Currency", "EUR"), ("Identities", "alice")] {
        browser.types(label, text);
    }
    browser.types("Verified numbers", "not a number");
    browser.presses("Add the subscriber");
    browser.sees("Something is not right yet");
    browser.looks_at("subscriber-refused");
    browser.types("Verified numbers", "+420601123456");
    browser.presses("Add the subscriber");
    browser.sees("The subscriber is added");
    let subscriber = browser.address();
    browser.presses("Make a secret");
    browser.sees("It is shown this once");
    browser.looks_at("subscriber-secret");

    browser.goes_to(&subscriber);
    browser.presses("Top up");
    browser.types("Amount", "25,50");
    browser.types("Payment", "receipt 1");
    browser.looks_at("top-up");
    browser.presses("Top up");
    browser.sees("The account is topped up");
    let account = browser.address();
    browser.goes_to(&format!("{account}/adjust"));
    browser.types("Amount", "1000");
    browser.types("Reason", "moved from the old system");
    browser.looks_at("adjust");
    browser.presses("Adjust");
    browser.sees("It waits for a second person");
    browser.looks_at("approval");
    browser.goes_to(&format!("{home}/admin/approvals"));
    browser.looks_at("approvals");

    browser.goes_to(&format!("{home}/admin/vouchers/new"));
    for (label, text) in [("Name", "Spring"), ("Worth each", "10"), ("Currency", "EUR"), ("How many", "6")] {
        browser.types(label, text);
    }
    browser.presses("Make them");
    browser.sees("The codes are shown this once");
    browser.looks_at("voucher-sheet");
    browser.presses("To the batch");
    browser.sees("Made void");
    browser.looks_at("voucher-batch");

    browser.goes_to(&format!("{home}/admin/people/new"));
    browser.types("User name", "second@example.com");
    browser.types("Name", "Second");
    browser.presses("Make the invitation");
    browser.sees("It holds until");
    browser.looks_at("invitation");

    browser.goes_to(&format!("{home}/admin/keys/new"));
    browser.types("Name", "shop");
    browser.looks_at("key-new");
    browser.presses("Make the key");
    browser.sees("To the keys");

    browser.goes_to(&format!("{home}/admin/hotlists/new"));
    browser.types("Name", "known fraud");
    browser.types("Or paste the lines here", "+88213 satellite?");
    browser.presses("Load the list");
    browser.sees("No number or prefix in line 1");
    browser.looks_at("hotlist-refused");
    browser.types("Or paste the lines here", "+88213");
    browser.presses("Load the list");
    browser.sees("The list is loaded");
    browser.looks_at("hotlist");

    for (name, path) in [
        ("overview", "/admin"),
        ("overview-month", "/admin?span=30d"),
        ("subscribers", "/admin/subscribers"),
        ("accounts", "/admin/accounts"),
        ("months", "/admin/statements"),
        ("vouchers", "/admin/vouchers"),
        ("voucher-redeem", "/admin/vouchers/redeem"),
        ("tenants", "/admin/tenants"),
        ("people", "/admin/people"),
        ("keys", "/admin/keys"),
        ("audit", "/admin/audit"),
        ("alerts", "/admin/alerts"),
        ("rules", "/admin/rules"),
        ("hotlists", "/admin/hotlists"),
        ("exchange-rates", "/admin/exchange-rates"),
        ("own", "/admin/me"),
        ("confirm-again", "/admin/confirm"),
        ("not-there", "/admin/nothing"),
    ] {
        browser.goes_to(&format!("{home}{path}"));
        browser.looks_at(name);
    }
    for (name, address) in [
        ("account", account.clone()),
        ("statements", format!("{account}/statements")),
        ("transfer", format!("{account}/transfer")),
        ("subscriber-with-money", subscriber.clone()),
        ("subscriber-change", format!("{subscriber}/edit")),
    ] {
        browser.goes_to(&address);
        browser.looks_at(name);
    }

    for (name, address) in [("statement", format!("{account}/statements")), ("month", format!("{home}/admin/statements"))] {
        browser.goes_to(&address);
        browser.one("td a").click();
        browser.sees("receipt 1");
        browser.looks_at(name);
    }

    // What cannot be undone is asked about first.
    browser.goes_to(&subscriber);
    browser.presses("Remove the subscriber");
    browser.sees("for good?");
    browser.looks_at("dialog");
    browser.presses("Cancel");
    browser.goes_to(&format!("{home}/admin/subscribers"));
    browser.sees("Alice");

    let mut stranger = Browser::start();
    stranger.goes_to(&format!("{home}/admin/sign-in?tenant=north"));
    stranger.looks_at("sign-in-tenant");
    stranger.types("User name", "owner@example.com");
    stranger.types("Password", "not this one, surely");
    stranger.presses("Sign in");
    stranger.sees("wrong password");
    stranger.looks_at("sign-in-refused");
    stranger.goes_to(&format!("{home}/admin/welcome/abcdefghijklmnopqrstuvwxyz0"));
    stranger.sees("does not hold");
    stranger.looks_at("link-gone");
    stranger.has_seen_nothing_wrong();
    browser.has_seen_nothing_wrong();
}
