//! Money from one account to another.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::House;
use super::accounts::{account, currency, money_page};
use super::desk::{Desk, Trouble, escaped, query};
use super::form::{Field, Form, Submitted};
use super::layout::{Page, Section};
use super::session::done;
use super::show;
use super::table::{Table, pages};
use super::text::t;

pub(super) fn router() -> Router<House> {
    Router::new()
        .route("/admin/accounts/{account_id}/transfer", get(ask).post(transfer))
        .route("/admin/transfers", get(list))
        .route("/admin/transfers/{transfer_id}", get(one))
}

/// One of the two accounts of a transfer.
fn end(transfer: &Value, name: &str) -> Markup {
    let id = transfer[name].as_str().unwrap_or_default();
    html! { a href={ "/admin/accounts/" (id) } { code.id { (id) } } }
}

async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Trouble> {
    let transfer = desk.get(&format!("/transfers/{}", escaped(&id))).await?;
    let facts = show::facts([
        (t("When"), show::time(&transfer["at"])),
        (t("From account"), end(&transfer, "from_account_id")),
        (t("To account"), end(&transfer, "to_account_id")),
        (t("Amount"), show::money(&transfer["amount"])),
        (t("Reason"), show::text(&transfer["reason"])),
        (t("By"), show::text(&transfer["by"])),
        (t("Entry that took it"), show::id(&transfer["out_posting_id"])),
        (t("Entry that brought it"), show::id(&transfer["in_posting_id"])),
        (t("Id"), show::id(&transfer["id"])),
    ]);
    let page = Page::new(&desk, Section::Accounts, t("A transfer")).under("/admin/transfers", t("Transfers"));
    Ok(page.show(html! { section.card { (facts) } }))
}

async fn list(desk: Desk, Query(asked): Query<BTreeMap<String, String>>) -> Result<Response, Trouble> {
    let said = |name: &str| asked.get(name).map(|value| value.trim()).unwrap_or_default();
    let kept = [("account_id", said("account_id")), ("after", said("after"))];
    let found = desk.get(&format!("/transfers{}", query(kept))).await?;
    let rows = found["items"].as_array().into_iter().flatten().map(|transfer| {
        vec![
            html! { a href={ "/admin/transfers/" (transfer["id"].as_str().unwrap_or_default()) } { (show::time(&transfer["at"])) } },
            end(transfer, "from_account_id"),
            end(transfer, "to_account_id"),
            show::money(&transfer["amount"]),
            show::note(&transfer["reason"]),
            show::note(&transfer["by"]),
        ]
    });
    let table = Table::new(t("Transfers"))
        .column(t("When"))
        .column(t("From account"))
        .column(t("To account"))
        .figures(t("Amount"))
        .column(t("Reason"))
        .column(t("By"))
        .empty(t("No transfer yet. Make one from the page of an account."))
        .rows(rows)
        .show();
    let body = html! { (table) (pages("/admin/transfers", &kept, found["next"].as_str())) };
    let page = Page::new(&desk, Section::Accounts, t("Transfers")).under("/admin/accounts", t("Accounts"));
    Ok(page.lead(t("Money that went from one account to another, newest first.")).show(body))
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
