//! Who asks: the principal behind a request to the API or a page, the tenant it works in, and where it comes from.

use std::net::IpAddr;

use axum::http::StatusCode;
use serde_json::Value;

use super::State;
use super::error::Problem;
use crate::people::audit::Act;
use crate::people::{Principal, Scope};
use crate::types::{AuditId, TenantId};

/// Who asks. Handlers find it among the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is and what they may do.
    pub principal: Principal,
    /// The tenant whose books they work in: their own, or the one an operator's principal chose.
    pub tenant: TenantId,
    /// The client's address, if it is known.
    pub from: Option<IpAddr>,
}

impl Caller {
    /// Lets them go on only if they may.
    pub fn need(&self, scope: Scope) -> Result<(), Problem> {
        if self.principal.may(scope) {
            return Ok(());
        }
        let message = format!("This needs the scope `{}`, which you do not have. Ask an owner for it.", scope.code());
        Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", message))
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

    /// A line of the audit log for something in the tenant's books.
    pub fn act(&self, state: &State, action: &'static str, target: impl ToString, before: Option<Value>, after: Option<Value>) -> Act {
        Act {
            id: AuditId::new(&state.clock, &state.random),
            tenant: Some(self.tenant),
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

/// A browser's sign-in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The anti-forgery token of its forms.
    pub csrf: String,
}

/// Who is signed in by the request's cookie.
#[expect(clippy::unused_async, reason = "nobody can sign in before there are people")]
pub async fn from_cookie(
    _state: &State,
    _headers: &axum::http::HeaderMap,
    _peer: Option<super::Peer>,
) -> Result<Option<(Caller, SignIn)>, Problem> {
    Ok(None)
}
