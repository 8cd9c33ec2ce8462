//! Money from one account to another.

use axum::Router;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::House;
use super::accounts::{account, currency, money_page};
use super::desk::{Desk, Trouble};
use super::form::{Field, Form, Submitted};
use super::session::done;
use super::text::t;

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/accounts/{account_id}/transfer", get(ask).post(transfer))
}

fn page(desk: &Desk, account: &Value, given: Option<&Submitted>, trouble: Option<&Trouble>) -> Response {
    let id = account["id"].as_str().unwrap_or_default();
    let form = Form::new(desk, format!("/admin/accounts/{id}/transfer"), t("Transfer"))
        .once()
        .again(given, trouble)
        .field(Field::text("to_account_id", t("To account")).required().hint(t("Its id. It must be in the same currency.")))
        .field(Field::amount("amount", format!("{} ({})", t("Amount"), currency(account))).required())
        .field(Field::text("reason", t("Reason")).required());
    money_page(desk, account, t("Transfer"), form, trouble)
}

async fn ask(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    Ok(desk.confirm_first(&desk.path).unwrap_or_else(|| page(&desk, &account, None, None)))
}

async fn transfer(desk: Desk, Path(id): Path<String>, form: Submitted) -> Result<Response, Trouble> {
    let account = account(&desk, &id).await?;
    let body = json!({
        "from_account_id": id,
        "to_account_id": form.text("to_account_id"),
        "amount": form.money("amount", currency(&account)),
        "reason": form.text("reason"),
    });
    match desk.send(Method::POST, "/transfers", &body, form.key()).await {
        Ok(_) => Ok(done(&format!("/admin/accounts/{id}"), t("The money is transferred."))),
        Err(trouble) => Ok(page(&desk, &account, Some(&form), Some(&trouble))),
    }
}
