//! The admin pages, asked as a browser without scripts asks them.

mod decks;
mod fraud;
mod looks;
mod pages;
mod reader;

use std::collections::BTreeMap;

use callthrough::database::Kind;
use reader::Reader;

/// Forms of somebody who is signed in do what they say, once, and say it.
#[tokio::test]
async fn a_form_is_done_and_then_the_page_is_shown_again() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let page = owner.get(&sub).await;
    assert!(page.text.contains("The subscriber is added."), "what was done is said: {}", page.text);
    assert!(page.header("set-cookie").contains("flash=;"), "once");
    assert!(page.text.contains("+420601123456"));
    let done = owner.sends(&sub, &format!("{sub}/numbers"), &[("number", "+420601123499")]).await;
    assert_eq!((done.status, done.header("location")), (303, sub.as_str()));
    assert!(owner.get(&sub).await.text.contains("+420601123499"));
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_field_and_the_rest_is_kept() {
    let owner = Reader::owner().await;
    let fields = [("name", "Alice <b>"), ("home_country", "12"), ("currency", "EUR")];
    let refused = owner.sends("/admin/subscribers/new", "/admin/subscribers", &fields).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("value=\"Alice &lt;b&gt;\""), "what was typed is kept, and is no HTML: {}", refused.text);
    let field = refused.text.split("name=\"home_country\"").nth(1).unwrap();
    assert!(field[..200].contains("aria-invalid=\"true\""), "{field}");
    reader::well_formed("a refused form", &refused.text);
}

#[tokio::test]
async fn a_double_click_credits_once() {
    double_click(Kind::Sqlite).await;
}

#[tokio::test]
async fn a_double_click_credits_once_on_postgresql_too() {
    double_click(Kind::Postgres).await;
}

/// Twice at once, and once more after going back in the browser.
async fn double_click(kind: Kind) {
    let owner = Reader::owner_on(kind).await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let address = format!("{account}/top-up");
    let mut form = owner.form(&address, &address).await;
    form.extend([("amount".to_owned(), "5,50".to_owned()), ("payment".to_owned(), "receipt 1".to_owned())]);
    let (first, second) = tokio::join!(owner.post(&address, &form), owner.post(&address, &form));
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(owner.post(&address, &form).await.status, 303);
    let page = owner.get(&account).await.text;
    assert!(page.contains("5.50 ") && !page.contains("11.00 "), "{page}");
    assert_eq!(page.matches("receipt 1").count(), 1, "{page}");
}

#[tokio::test]
async fn forms_of_others_are_refused() {
    let owner = Reader::owner().await;
    let mut form = owner.form("/admin/subscribers/new", "/admin/subscribers").await;
    form.insert("name".to_owned(), "Alice".to_owned());
    let foreign = owner.post_from("https://elsewhere.example", "/admin/subscribers", &form).await;
    assert_eq!(foreign.status, 403, "{}", foreign.text);
    form.remove("csrf");
    assert_eq!(owner.post("/admin/subscribers", &form).await.status, 403);
    form.insert("csrf".to_owned(), "made up".to_owned());
    assert_eq!(owner.post("/admin/subscribers", &form).await.status, 403);
    assert!(!owner.get("/admin/subscribers").await.text.contains("Alice"));
}

#[tokio::test]
async fn who_is_not_signed_in_comes_to_the_sign_in_and_back() {
    let owner = Reader::owner().await;
    let stranger = owner.stranger();
    let sent = stranger.get("/admin/cdrs?cause=busy").await;
    assert_eq!((sent.status, sent.header("location")), (303, "/admin/sign-in?next=%2Fadmin%2Fcdrs%3Fcause%3Dbusy"));
    assert_eq!(stranger.get("/admin/subscribers/sub_01jb3k5m7n9p0q1r2s3t4v5w6x").await.status, 303, "and learns nothing");
    for (next, goes) in [("/admin/cdrs?cause=busy", "/admin/cdrs?cause=busy"), ("https://elsewhere.example/admin", "/admin")] {
        let form = [("login", reader::LOGIN), ("password", reader::PASSWORD), ("next", next)];
        let form = form.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let done = stranger.post("/admin/sign-in", &form).await;
        assert_eq!((done.status, done.header("location")), (303, goes), "{}", done.text);
    }
    let out = owner.sends("/admin", "/admin/sign-out", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, "/admin/sign-in"));
    assert_eq!(owner.get("/admin").await.status, 303, "signed out");
}

#[tokio::test]
async fn who_may_only_look_sees_nothing_to_press() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let looker = owner.invites("looker@example.com", "read_only", true).await;
    for path in ["/admin", "/admin/subscribers", &sub, "/admin/accounts", &account, "/admin/approvals", "/admin/vouchers", "/admin/cdrs"] {
        let page = looker.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let main = page.text.split("<main").nth(1).unwrap();
        assert!(!main.contains("method=\"post\"") && !main.contains("class=\"button primary\""), "{path}: {main}");
    }
    for path in ["/admin/people", "/admin/keys", "/admin/audit"] {
        assert_eq!(looker.get(path).await.status, 403, "{path}");
    }
    let refused = looker.sends_bare("/admin", &format!("{sub}/numbers"), &[("number", "+420601123499")]).await;
    assert_eq!(refused.status, 403, "a form that was not shown does nothing: {}", refused.text);
}

#[tokio::test]
async fn a_tenants_people_find_nothing_of_the_others() {
    let owner = Reader::owner().await;
    let made = owner.sends("/admin/tenants/new", "/admin/tenants", &[("name", "North"), ("slug", "north"), ("home_country", "CZ")]).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let topped = owner.sends(&format!("{account}/top-up"), &format!("{account}/top-up"), &[("amount", "5"), ("payment", "1")]).await;
    assert_eq!(topped.status, 303, "{}", topped.text);
    let entry = reader::found(&owner.get(&account).await.text, "/entries/post_");
    let adjust = format!("{account}/adjust");
    let approval = owner.sends(&adjust, &adjust, &[("amount", "1000"), ("reason", "much")]).await.header("location").to_owned();
    let fields = [("name", "Spring"), ("amount", "10"), ("currency", "eur"), ("count", "3")];
    owner.sends("/admin/vouchers/new", "/admin/vouchers", &fields).await;
    let batch = format!("/admin/vouchers/{}", reader::found(&owner.get("/admin/vouchers").await.text, "/vouchers/vbat_"));
    owner.invites("north@example.com", "support", false).await;
    let people = owner.get("/admin/people?operator=false").await.text;
    let person = format!("/admin/people/{}", reader::found(&people, "/people/pers_"));
    owner.chooses("Main").await;
    assert_eq!(owner.get(&sub).await.status, 404, "the operator works for one tenant at a time");
    let foreigner = owner.invites("main@example.com", "owner", false).await;
    let read = [
        sub.clone(),
        format!("{sub}/edit"),
        account.clone(),
        format!("{account}/top-up"),
        format!("{account}/adjust"),
        format!("{account}/limit"),
        format!("{account}/transfer"),
        format!("{account}/statements"),
        format!("{account}/statements/2026-03"),
        format!("{account}/statements/2026-03/csv"),
        format!("{account}/entries/{entry}/reverse"),
        made.header("location").to_owned(),
        approval.clone(),
        batch.clone(),
        person.clone(),
    ];
    for path in &read {
        assert_ne!(foreigner.get(path).await.status, 200, "{path}");
        let (known, unknown) = (foreigner.get(path).await, foreigner.get(&reader::another_id(path)).await);
        assert_eq!((known.status, &known.text), (404, &unknown.text), "{path}");
    }
    let sent: [(String, &[(&str, &str)]); 18] = [
        (format!("{sub}/numbers"), &[("number", "+420601123499")]),
        (format!("{sub}/numbers/remove"), &[("number", "+420601123456")]),
        (format!("{sub}/identities"), &[("identity", "mallory")]),
        (format!("{sub}/identities/remove"), &[("identity", "alice")]),
        (format!("{sub}/credentials"), &[("kind", "token")]),
        (format!("{sub}/remove"), &[]),
        (format!("{sub}/edit"), &[("name", "Mallory"), ("home_country", "CZ")]),
        (format!("{account}/top-up"), &[("amount", "1"), ("payment", "1")]),
        (format!("{account}/adjust"), &[("amount", "1"), ("kind", "bonus"), ("reason", "1")]),
        (format!("{account}/limit"), &[("credit_limit", "1"), ("low_balance", "1")]),
        (format!("{account}/transfer"), &[("to_account_id", "acct_01jb3k5m7n9p0q1r2s3t4v5w6x"), ("amount", "1"), ("reason", "1")]),
        (format!("{account}/entries/{entry}/reverse"), &[("reason", "1")]),
        (format!("{approval}/approve"), &[]),
        (format!("{approval}/decline"), &[]),
        (format!("{batch}/void"), &[]),
        (format!("{person}/invite"), &[]),
        (format!("{person}/sign-out"), &[]),
        (format!("{person}/remove"), &[]),
    ];
    for (path, fields) in &sent {
        let (known, unknown) =
            (foreigner.sends_bare("/admin", path, fields).await, foreigner.sends_bare("/admin", &reader::another_id(path), fields).await);
        assert_eq!((known.status, &known.text), (404, &unknown.text), "{path}");
    }
    let list = foreigner.get("/admin/subscribers").await.text;
    assert!(!list.contains("Alice") && !list.contains("North"), "{list}");
}

#[tokio::test]
async fn a_second_person_approves_what_is_much() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let address = format!("{account}/adjust");
    let asked = owner.sends(&address, &address, &[("amount", "1000"), ("reason", "moved from the old system")]).await;
    assert_eq!(asked.status, 303, "{}", asked.text);
    let approval = asked.header("location").to_owned();
    assert!(approval.starts_with("/admin/approvals/appr_"), "{approval}");
    let own = owner.get(&approval).await.text;
    assert!(!own.contains("/approve\""), "nobody approves what they asked for: {own}");
    let second = owner.invites("second@example.com", "billing", true).await;
    let approved = second.sends(&approval, &format!("{approval}/approve"), &[]).await;
    assert_eq!(approved.status, 303, "{}", approved.text);
    assert!(owner.get(&account).await.text.contains("1000.00 "));
}

#[tokio::test]
async fn a_voucher_is_shown_once_and_redeemed_once() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let fields = [("name", "Spring"), ("amount", "10"), ("currency", "eur"), ("count", "3")];
    let sheet = owner.sends("/admin/vouchers/new", "/admin/vouchers", &fields).await;
    assert_eq!(sheet.status, 200, "{}", sheet.text);
    reader::well_formed("the sheet", &sheet.text);
    let code = sheet.text.split("class=\"voucher\"").nth(1).and_then(|rest| rest.split("<code>").nth(1)).unwrap();
    let code = code.split('<').next().unwrap().to_lowercase();
    let id = account.rsplit('/').next().unwrap();
    let fields = [("code", code.as_str()), ("account_id", id)];
    let redeemed = owner.sends("/admin/vouchers/redeem", "/admin/vouchers/redeem", &fields).await;
    assert_eq!((redeemed.status, redeemed.header("location")), (303, account.as_str()), "{}", redeemed.text);
    let again = owner.sends("/admin/vouchers/redeem", "/admin/vouchers/redeem", &fields).await;
    assert_eq!(again.status, 409);
    assert!(again.text.contains("redeemed before"), "{}", again.text);
    let list = owner.get("/admin/vouchers").await.text;
    let batch = list.split("href=\"/admin/vouchers/vbat_").nth(1).unwrap().split('"').next().unwrap();
    let batch = owner.get(&format!("/admin/vouchers/vbat_{batch}")).await.text;
    assert!(!batch.to_lowercase().contains(&code), "the code is told nowhere again");
}

#[tokio::test]
async fn money_wants_the_password_given_lately() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    owner.clock().advance(std::time::Duration::from_secs(20 * 60));
    let address = format!("{account}/top-up");
    let sent = owner.get(&address).await;
    assert_eq!(sent.status, 303);
    let confirm = sent.header("location").to_owned();
    assert!(confirm.starts_with("/admin/confirm?next="), "{confirm}");
    let wrong = owner.sends(&confirm, "/admin/confirm", &[("password", "not this one, surely")]).await;
    assert_eq!(wrong.status, 401);
    let right = owner.sends(&confirm, "/admin/confirm", &[("password", reader::PASSWORD)]).await;
    assert_eq!((right.status, right.header("location")), (303, address.as_str()), "{}", right.text);
    assert_eq!(owner.get(&address).await.status, 200);
}

#[tokio::test]
async fn a_page_left_alone_is_signed_out_though_it_looks_again_by_itself() {
    let owner = Reader::owner().await;
    for _ in 0..7 {
        owner.clock().advance(std::time::Duration::from_secs(10 * 60));
        owner.get_live("/admin").await;
    }
    assert_eq!(owner.get("/admin").await.status, 303);
}

#[tokio::test]
async fn style_and_script_are_kept_for_good_and_everything_else_never() {
    let owner = Reader::owner().await;
    let page = owner.get("/admin").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let style = page.text.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let style = owner.stranger().get(style).await;
    assert_eq!((style.status, style.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    assert!(style.header("content-type").starts_with("text/css"));
    let form: BTreeMap<String, String> = BTreeMap::new();
    assert_eq!(owner.stranger().post("/admin/subscribers", &form).await.status, 303, "no form without a sign-in");
}
