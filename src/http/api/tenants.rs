//! The operator's customers. Only the operator's own people and keys see that there are several.

use axum::extract::{Extension, State as From};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{Asked, Body, Id, from_value, line, page, page_length, patched};
use crate::fraud;
use crate::http::error::{Problem, taken};
use crate::http::{Caller, State};
use crate::people::{Scope, audit};
use crate::tenant::{self, Caps, Tenant};
use crate::types::{Country, Micros, TenantId};

/// Longest name.
const LONGEST_NAME: usize = 200;

pub(super) fn router() -> Router<State> {
    Router::new().route("/tenants", get(list).post(create)).route("/tenants/{tenant_id}", get(one).patch(update))
}

fn shape(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id,
        "slug": tenant.slug,
        "name": tenant.name,
        "home_country": tenant.home_country,
        "enabled": tenant.enabled,
        "max_calls": tenant.caps.max_calls,
        "spend_cap": tenant.caps.spend_cap,
        "created_at": tenant.created_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<TenantId>,
    limit: Option<u32>,
}

/// A tenant's own people see their own, as the one there is.
async fn list(From(state): From<State>, Extension(caller): Extension<Caller>, Asked(asked): Asked<Page>) -> Result<Response, Problem> {
    caller.need(Scope::Read)?;
    let limit = page_length(asked.limit)?;
    let tenants = tenant::store::list(&mut *state.database.read().await?, asked.after, caller.principal.tenant, limit + 1).await?;
    Ok(page(tenants, limit, |tenant| tenant.id, shape))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    slug: String,
    name: String,
    #[serde(default)]
    home_country: Option<Country>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    max_calls: Option<u32>,
    #[serde(default)]
    spend_cap: Option<Micros>,
}

const fn yes() -> bool {
    true
}

impl Fields {
    fn checked(self) -> Result<Self, Problem> {
        if !tenant::is_slug(&self.slug) {
            let message = "Write 2 to 40 lower-case letters, digits and hyphens, beginning with a letter, such as north-shop.";
            return Err(Problem::field("slug", message));
        }
        line("name", &self.name, 1, LONGEST_NAME)?;
        if self.max_calls == Some(0) {
            return Err(Problem::field("max_calls", "Write 1 or more, or null for no limit. To stop all calls, switch the tenant off."));
        }
        if self.spend_cap.is_some_and(|cap| cap < Micros::ZERO) {
            return Err(Problem::field("spend_cap", "Write 0 or more, such as \"500.00\", or null for no limit."));
        }
        Ok(self)
    }

    const fn caps(&self) -> Caps {
        Caps { max_calls: self.max_calls, spend_cap: self.spend_cap }
    }
}

const TAKEN: &str = "Another tenant has this slug. Choose another one.";

async fn create(From(state): From<State>, Extension(caller): Extension<Caller>, Body(new, _): Body<Fields>) -> Result<Response, Problem> {
    caller.need(Scope::Tenants)?;
    caller.need_confirmed()?;
    let new = new.checked()?;
    let caps = new.caps();
    let tenant = Tenant {
        id: TenantId::new(&state.clock, &state.random),
        slug: new.slug,
        name: new.name,
        home_country: new.home_country,
        enabled: new.enabled,
        caps,
        created_at: state.clock.timestamp(),
    };
    let shape = shape(&tenant);
    let (house, after) = (state.clone(), shape.clone());
    let made = state.database.write(move |tx| {
        Box::pin(async move {
            tenant::store::create(tx, &tenant).await.map_err(taken(TAKEN))?;
            fraud::store::set_policy(tx, tenant.id, &fraud::Policy::of_new_tenant(tenant.home_country)).await?;
            audit::note(tx, &caller.act_for(&house, Some(tenant.id), "tenant.create", tenant.id, None, Some(after))).await?;
            Ok::<_, Problem>(())
        })
    });
    made.await?;
    fraud::store::refresh(&state.database, &state.rules).await?;
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

/// Unknown, unless it is their own.
fn visible(caller: &Caller, found: Option<Tenant>) -> Result<Tenant, Problem> {
    let found = found.filter(|tenant| caller.principal.tenant.is_none_or(|own| own == tenant.id));
    found.ok_or_else(|| Problem::not_found("tenant"))
}

async fn one(From(state): From<State>, Extension(caller): Extension<Caller>, Id(id): Id<TenantId>) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Read)?;
    let found = tenant::store::get(&mut *state.database.read().await?, id).await?;
    Ok(Json(shape(&visible(&caller, found)?)))
}

async fn update(
    From(state): From<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id<TenantId>,
    Body(patch, _): Body<Value>,
) -> Result<Json<Value>, Problem> {
    caller.need(Scope::Tenants)?;
    caller.need_confirmed()?;
    let house = state.clone();
    let changed = state.database.write(move |tx| {
        Box::pin(async move {
            let before = visible(&caller, tenant::store::get(tx, id).await?)?;
            let fields = Fields {
                slug: before.slug.clone(),
                name: before.name.clone(),
                home_country: before.home_country,
                enabled: before.enabled,
                max_calls: before.caps.max_calls,
                spend_cap: before.caps.spend_cap,
            };
            let fields: Fields = from_value(patched(&fields, patch)?)?;
            let fields = fields.checked()?;
            if id == TenantId::MAIN && (fields.slug != before.slug || !fields.enabled) {
                return Err(Problem::conflict(
                    "The main tenant keeps its slug and stays enabled: doors without a slug are its own. Change another one.",
                ));
            }
            let caps = fields.caps();
            let after = Tenant {
                slug: fields.slug,
                name: fields.name,
                home_country: fields.home_country,
                enabled: fields.enabled,
                caps,
                ..before.clone()
            };
            tenant::store::update(tx, &after).await.map_err(taken(TAKEN))?;
            let line = caller.act_for(&house, Some(id), "tenant.update", id, Some(shape(&before)), Some(shape(&after)));
            audit::note(tx, &line).await?;
            Ok::<_, Problem>(shape(&after))
        })
    });
    Ok(Json(changed.await?))
}
