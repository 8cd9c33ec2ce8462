//! Who asks: the principal behind a request to the API or a page, the tenant it works in, and where it comes from.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::error::Problem;
use super::limits::Client;
use super::{Peer, State, gate};
use crate::database::Connection;
use crate::ledger::approval::By;
use crate::people::audit::{self, Act};
use crate::people::person::Person;
use crate::people::sign_in::{self, SignIn};
use crate::people::{Principal, Scope, Who, key};
use crate::types::{AuditId, Secret, SignInId, TenantId};

/// The header by which the operator's principals choose the tenant they work in.
pub const TENANT: &str = "callthrough-tenant";
/// The header of a request that a page's script makes by itself.
const LIVE: &str = "callthrough-live";
/// The last request of a sign-in is kept to the minute.
const SEEN_TO_THE: Duration = Duration::from_secs(60);

/// How far back it is looked who made the key that made a key.
const KEYS_MADE_BY_KEYS: usize = 8;

/// Who asks. Handlers find it among the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is and what they may do.
    pub principal: Principal,
    /// The tenant whose books they work in: their own, or the one an operator's principal chose.
    pub tenant: TenantId,
    /// The client's address, if it is known.
    pub from: Option<IpAddr>,
    /// The sign-in, where it is a person in a browser.
    pub sign_in: Option<SignInId>,
    /// Whether a person gave their password lately; keys need not.
    pub confirmed: bool,
}

/// Somebody who is signed in, and what their pages need.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// The sign-in.
    pub sign_in: SignIn,
    /// What forms and scripts send back to show that they are ours.
    pub csrf: Secret,
}

/// Whoever is at the other end, signed in or not.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where they are, and whether the way is encrypted.
    pub client: Client,
    /// What their browser calls itself.
    pub agent: String,
    cookie: Option<Secret>,
}

impl FromRequestParts<State> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Infallible> {
        let client = state.gate.client(parts.extensions.get::<Peer>().copied(), &parts.headers);
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Self { client, agent, cookie: gate::cookie(client, &parts.headers) })
    }
}

impl Visitor {
    /// Who is signed in by their cookie.
    pub async fn signed_in(&self, state: &State) -> Result<Option<SignedIn>, Problem> {
        let Some(token) = &self.cookie else { return Ok(None) };
        let found = sign_in::find(&mut *state.database.read().await?, token.expose(), state.clock.timestamp()).await?;
        Ok(found.map(|(person, sign_in)| SignedIn { person, sign_in, csrf: sign_in::csrf(token.expose()) }))
    }
}

/// Who is signed in by the cookie of a request; none without one that holds.
pub async fn from_cookie(state: &State, headers: &HeaderMap, peer: Option<Peer>) -> Result<Option<(Caller, SignedIn)>, Problem> {
    let client = state.gate.client(peer, headers);
    let visitor = Visitor { client, agent: String::new(), cookie: gate::cookie(client, headers) };
    let Some(signed_in) = visitor.signed_in(state).await? else { return Ok(None) };
    let (now, sign_in, principal) = (state.clock.timestamp(), &signed_in.sign_in, signed_in.person.principal());
    // A page that looks again by itself is nobody's request: a browser left alone is signed out all the same.
    if now.since(sign_in.seen_at) >= SEEN_TO_THE && !headers.contains_key(LIVE) {
        let id = sign_in.id;
        state.database.write(move |tx| Box::pin(async move { sign_in::touch(tx, id, now).await })).await?;
    }
    let tenant = working_in(state, &principal, headers).await?;
    let (id, confirmed) = (sign_in.id, sign_in.confirmed(now));
    let caller = Caller { principal, tenant, from: Some(client.address), sign_in: Some(id), confirmed };
    Ok(Some((caller, signed_in)))
}

/// Whose books the request is about: the principal's own tenant; for the operator's the one the header names, or the main one.
pub async fn working_in(state: &State, principal: &Principal, headers: &HeaderMap) -> Result<TenantId, Problem> {
    let named = headers.get(TENANT).map(|named| named.to_str().unwrap_or_default());
    chosen(state, principal, named).await
}

/// The tenant `named`, if the principal may work in it.
pub async fn chosen(state: &State, principal: &Principal, named: Option<&str>) -> Result<TenantId, Problem> {
    let Some(named) = named else { return Ok(principal.tenant.unwrap_or(TenantId::MAIN)) };
    let unknown = || Problem { field: Some("Callthrough-Tenant".into()), ..Problem::not_found("tenant") };
    let id: TenantId = named.parse().map_err(|_| unknown())?;
    match principal.tenant {
        Some(own) if own == id => Ok(id),
        Some(_) => Err(unknown()),
        None => {
            let found = crate::tenant::store::get(&mut *state.database.read().await?, id).await?;
            found.map(|tenant| tenant.id).ok_or_else(unknown)
        }
    }
}

impl Caller {
    /// Lets them go on only if they may.
    pub fn need(&self, scope: Scope) -> Result<(), Problem> {
        if self.principal.may(scope) {
            return if scope == Scope::Money { self.need_confirmed() } else { Ok(()) };
        }
        let message = format!("This needs the scope `{}`, which you do not have. Ask an owner for it.", scope.code());
        Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", message))
    }

    /// Lets people go on only if they gave their password lately: for money, and for who may do what.
    pub fn need_confirmed(&self) -> Result<(), Problem> {
        if self.confirmed {
            return Ok(());
        }
        let message = "Your password was given too long ago for this. Confirm it at POST /session/confirm, then send this again.";
        Err(Problem::new(StatusCode::FORBIDDEN, "confirm_needed", message))
    }

    /// Whose people and keys: the operator's own or those of the tenant they work in. Unless said, whoever is the operator's asks
    /// for the operator's.
    pub fn whose(&self, operator: Option<bool>) -> Result<Option<TenantId>, Problem> {
        if operator.unwrap_or(self.is_operator()) { self.need_operator().map(|()| None) } else { Ok(Some(self.tenant)) }
    }

    /// Whether they are the operator's own, for what nobody else sees.
    pub const fn is_operator(&self) -> bool {
        self.principal.tenant.is_none()
    }

    /// By what their requests are counted.
    pub(super) fn counted_as(&self) -> String {
        self.sign_in.map_or_else(|| self.principal.who.to_string(), |id| id.to_string())
    }

    /// May they see this? What is nobody's is the operator's to see.
    pub fn sees(&self, tenant: Option<TenantId>) -> bool {
        tenant.map_or(self.principal.tenant.is_none(), |tenant| tenant == self.tenant)
    }

    /// Lets only the operator's own people and keys go on: what comes from the carriers is the operator's.
    pub fn need_operator(&self) -> Result<(), Problem> {
        if self.principal.tenant.is_none() {
            return Ok(());
        }
        let message = "Only the operator's own people and keys may do this. Ask the operator for it.";
        Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", message))
    }

    /// As the one who asks for a second person, or is it. A key counts as the person who made it, so nobody is two by having two.
    pub async fn by(&self, connection: &mut Connection) -> Result<By, Problem> {
        let (mut behind, operator) = (self.principal.who, self.principal.tenant.is_none());
        for _ in 0..KEYS_MADE_BY_KEYS {
            let Who::Key(id) = behind else { break };
            let Some(key) = key::get(connection, id, self.tenant, operator).await? else { break };
            behind = key.made_by.parse().unwrap_or(Who::Server);
        }
        Ok(By { who: self.principal.who.to_string(), behind: behind.to_string(), name: self.principal.name.clone() })
    }

    /// A line of the audit log for something in the tenant's books.
    pub fn act(&self, state: &State, action: &'static str, target: impl ToString, before: Option<Value>, after: Option<Value>) -> Act {
        self.act_for(state, Some(self.tenant), action, target, before, after)
    }

    /// Writes the line of a change in the tenant's books; call it in the transaction of the change.
    pub async fn note(
        &self,
        tx: &mut Connection,
        state: &State,
        action: &'static str,
        target: impl ToString + Send,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<(), Problem> {
        let act = self.act(state, action, target, before, after);
        Ok(audit::note(tx, &act).await?)
    }

    /// A line of the audit log for something of the tenant's, or of the operator's own.
    pub fn act_for(
        &self,
        state: &State,
        tenant: Option<TenantId>,
        action: &'static str,
        target: impl ToString,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Act {
        Act {
            id: AuditId::new(&state.clock, &state.random),
            tenant,
            at: state.clock.timestamp(),
            who: self.principal.who,
            name: self.principal.name.clone(),
            from: self.from.map(|address| address.to_string()).unwrap_or_default(),
            action,
            target: target.to_string(),
            before,
            after,
        }
    }
}
