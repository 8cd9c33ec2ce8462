//! A first-time admin with nothing but the pages: from the printed one-time link to the exported month.
//!
//! Every page that is met on the way is looked at closely: pictures in both sizes and themes, an accessibility checker, nothing
//! wider than a phone, no complaint of the browser.

mod authenticator;

use std::time::Duration;

use authenticator::Authenticator;

use crate::support::browser::Browser;
use crate::support::folder::Folder;
use crate::support::server::Server;

const OWNER_PASSWORD: &str = "correct horse battery staple";

/// Somebody at the pages.
struct Admin {
    browser: Browser,
    server: String,
    authenticator: Option<Authenticator>,
}

impl Admin {
    /// Opens their browser.
    fn sits_down(server: &Server) -> Self {
        Self { browser: Browser::start(), server: format!("http://{}", server.http), authenticator: None }
    }

    fn goes_to(&self, path: &str) {
        self.browser.goes_to(&format!("{}{path}", self.server));
    }

    /// The password again, if the pages want it before something that matters.
    fn confirms_if_asked(&mut self, password: &str) {
        if self.browser.address().contains("/admin/confirm") {
            self.browser.looks_at("confirm");
            self.browser.types("Password", password);
            if let Some(authenticator) = &mut self.authenticator {
                self.browser.types("Code", &authenticator.shows());
            }
            self.browser.presses("Go on");
            self.browser.leaves("/admin/confirm");
        }
    }

    /// Becomes the owner by the link that the server printed.
    fn becomes_owner(&mut self, link: &str) {
        self.browser.goes_to(link);
        self.browser.sees("You become the owner");
        self.browser.looks_at("welcome");
        self.browser.types("User name", "owner@example.com");
        self.browser.types("Your name", "The owner");
        self.browser.types("Password", OWNER_PASSWORD);
        self.browser.types("The password again", OWNER_PASSWORD);
        self.browser.presses("Become the owner");
        self.browser.sees("Second factor");
    }

    /// Sets a second factor up, on the page of their own sign-in.
    fn sets_second_factor_up(&mut self, password: &str) {
        self.goes_to("/admin/me");
        self.browser.looks_at("me");
        self.browser.presses("Set it up");
        self.browser.leaves("/admin/me");
        self.confirms_if_asked(password);
        if !self.browser.address().contains("/second-factor") {
            self.browser.presses("Set it up");
        }
        self.browser.sees("Put it into your authenticator");
        self.browser.looks_at("second-factor");
        let secret = self.browser.one("code[data-copy]").text();
        let authenticator = self.authenticator.insert(Authenticator::new(&secret));
        self.browser.types("Code", &authenticator.shows());
        self.browser.presses("Switch it on");
        self.browser.sees("recovery codes");
        self.browser.looks_at("recovery-codes");
    }
}

#[test]
fn a_first_time_admin_needs_nothing_but_the_pages() {
    let folder = Folder::new();
    let server = Server::start(&folder, "");
    let link = server.printed(&format!("http://{}/admin/welcome/", server.http));

    let mut owner = Admin::sits_down(&server);
    owner.goes_to("/admin");
    owner.browser.sees("Sign in");
    owner.browser.looks_at("sign-in");
    owner.becomes_owner(&link);
    owner.sets_second_factor_up(OWNER_PASSWORD);
    owner.browser.presses("To the overview");
    owner.browser.looks_at("overview-empty");

    owner.goes_to("/admin/tenants/new");
    owner.confirms_if_asked(OWNER_PASSWORD);
    owner.browser.looks_at("tenant-new");
    owner.browser.types("Name", "Example Telecom");
    owner.browser.types("Name in addresses", "example");
    owner.browser.types("Home country", "US");
    owner.browser.presses("Add the tenant");
    owner.browser.sees("The tenant is added");
    owner.browser.looks_at("tenant");

    owner.goes_to("/admin/subscribers/new");
    owner.browser.looks_at("subscriber-new");
    owner.browser.types("Name", "Alice");
    owner.browser.types("Home country", "US");
    owner.browser.types("Verified numbers", "+15551230099");
    owner.browser.types("Identities", "alice");
    owner.browser.types("Currency", "EUR");
    owner.browser.presses("Add the subscriber");
    owner.browser.sees("The subscriber is added");
    owner.browser.looks_at("subscriber");
    owner.browser.has_seen_nothing_wrong();
    let _ = Duration::ZERO;
}
