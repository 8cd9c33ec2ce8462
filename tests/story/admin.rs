//! Somebody at the pages.

use super::authenticator::Authenticator;
use crate::support::browser::Browser;
use crate::support::server::Server;

/// Somebody at the pages.
pub struct Admin {
    pub browser: Browser,
    server: String,
    authenticator: Option<Authenticator>,
}

impl Admin {
    /// Opens their browser.
    pub fn sits_down(server: &Server) -> Self {
        Self { browser: Browser::start(), server: format!("http://{}", server.http), authenticator: None }
    }

    pub fn goes_to(&self, path: &str) {
        self.browser.goes_to(&format!("{}{path}", self.server));
    }

    /// Goes by links and buttons only, as somebody who does not know an address.
    pub fn follows(&self, way: &[&str]) {
        for words in way {
            self.browser.presses(words);
        }
    }

    /// Writes into fields by their labels.
    pub fn fills_in(&self, fields: &[(&str, &str)]) {
        for (label, text) in fields {
            self.browser.types(label, text);
        }
    }

    /// Chooses the tenant to work in.
    pub fn works_for(&self, tenant: &str) {
        self.browser.chooses_and_goes("Tenant", tenant);
        self.browser.sees("You now work for");
    }

    /// The password again, if the pages want it before something that matters.
    pub fn confirms_if_asked(&mut self, password: &str) {
        if self.browser.address().contains("/admin/confirm") {
            self.browser.looks_at("confirm");
            self.browser.types("Password", password);
            if let Some(authenticator) = &mut self.authenticator {
                self.browser.types("Code", &authenticator.shows());
            }
            self.browser.presses("Go on");
        }
    }

    /// Becomes the owner by the link that the server printed.
    pub fn becomes_owner(&mut self, link: &str, password: &str) {
        self.browser.goes_to(link);
        self.browser.sees("You become the owner");
        self.browser.looks_at("welcome");
        self.browser.types("User name", "owner@example.com");
        self.browser.types("Your name", "The owner");
        self.browser.types("Password", password);
        self.browser.types("The password again", password);
        self.browser.presses("Become the owner");
        self.browser.sees("Second factor");
    }

    /// Sets a second factor up, on the page of their own sign-in.
    pub fn sets_second_factor_up(&mut self, password: &str) {
        self.goes_to("/admin/me");
        self.browser.looks_at("me");
        self.browser.presses("Set it up");
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
