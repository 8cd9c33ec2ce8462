//! "Correct the charge": the old posting is reversed and the right one made, by two people where it is much.

use axum::Router;
use maud::{Markup, html};
use serde_json::Value;

use super::House;
use super::desk::{Desk, Trouble};
use super::form::Submitted;

pub(super) fn router() -> Router<House> {
    Router::new()
}

/// The form, on a call that was charged, for those who may.
pub(super) fn card(_desk: &Desk, _record: &Value, _given: Option<&Submitted>, _trouble: Option<&Trouble>) -> Markup {
    html! {}
}
