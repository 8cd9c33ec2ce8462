//! Every page for an owner: it answers, it is well-formed, and it says to the browser what it must.

use super::reader::{Reader, found, well_formed};

#[tokio::test]
async fn every_page_answers_an_owner() {
    let owner = Reader::owner().await;
    let sub = owner.adds_a_subscriber("Alice", "+420601123456").await;
    let account = owner.account_of(&sub).await;
    let topped =
        owner.sends(&format!("{account}/top-up"), &format!("{account}/top-up"), &[("amount", "5"), ("payment", "receipt 1")]).await;
    assert_eq!(topped.status, 303, "{}", topped.text);
    let other = owner.account_of(&owner.adds_a_subscriber("Bob", "+420601123457").await).await;
    let transfer = [("to_account_id", other.rsplit('/').next().unwrap()), ("amount", "1.50"), ("reason", "shared")];
    let moved = owner.sends(&format!("{account}/transfer"), &format!("{account}/transfer"), &transfer).await;
    assert_eq!(moved.status, 303, "{}", moved.text);
    let transfer = format!("/admin/transfers/{}", found(&owner.get("/admin/transfers").await.text, "/transfers/xfer_"));
    let shown = owner.get(&transfer).await.text;
    assert!(shown.contains(&other) && shown.contains("1.50") && shown.contains("shared"), "{shown}");
    let person = found(&owner.get("/admin/people").await.text, "/people/pers_");
    let paths = [
        "/admin".to_owned(),
        "/admin?span=7d".to_owned(),
        "/admin?span=30d".to_owned(),
        "/admin/subscribers".to_owned(),
        "/admin/subscribers?q=ali".to_owned(),
        "/admin/subscribers?q=%2B420601123456".to_owned(),
        "/admin/subscribers/new".to_owned(),
        sub.clone(),
        format!("{sub}/edit"),
        "/admin/accounts".to_owned(),
        "/admin/accounts/new".to_owned(),
        account.clone(),
        format!("{account}/top-up"),
        format!("{account}/adjust"),
        format!("{account}/limit"),
        format!("{account}/transfer"),
        format!("{account}/statements"),
        format!("{account}/statements/2026-03"),
        "/admin/statements".to_owned(),
        "/admin/statements/2026-03".to_owned(),
        "/admin/approvals".to_owned(),
        "/admin/approvals?state=approved".to_owned(),
        "/admin/vouchers".to_owned(),
        "/admin/vouchers/new".to_owned(),
        "/admin/vouchers/redeem".to_owned(),
        "/admin/tenants".to_owned(),
        "/admin/tenants/new".to_owned(),
        format!("/admin/tenants/{}", callthrough::types::TenantId::MAIN),
        "/admin/people".to_owned(),
        "/admin/people?operator=false".to_owned(),
        "/admin/people/new".to_owned(),
        format!("/admin/people/{person}"),
        "/admin/keys".to_owned(),
        "/admin/keys/new".to_owned(),
        "/admin/audit".to_owned(),
        "/admin/me".to_owned(),
        "/admin/confirm".to_owned(),
        "/admin/alerts".to_owned(),
        "/admin/rules".to_owned(),
        "/admin/hotlists".to_owned(),
        "/admin/hotlists/new".to_owned(),
        "/admin/exchange-rates".to_owned(),
        "/admin/holds".to_owned(),
        format!("/admin/holds?account_id={}", account.rsplit('/').next().unwrap()),
        "/admin/transfers".to_owned(),
        transfer,
    ];
    for path in &paths {
        let page = owner.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        well_formed(path, &page.text);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!((page.header("x-content-type-options"), page.header("cache-control")), ("nosniff", "no-store"), "{path}");
        assert!(page.text.contains("<html lang=\"en\">") && page.text.contains("<title>"), "{path}");
        assert_eq!(page.text.matches("<h1>").count(), 1, "{path}: one heading of the page");
        assert!(!page.text.contains(" style=\"") && !page.text.contains("<style"), "{path}: the policy lets no style into the page");
    }
    for file in [format!("{account}/statements/2026-03/csv"), "/admin/statements/2026-03/csv".to_owned()] {
        let sheet = owner.get(&file).await;
        assert!(sheet.status == 200 && sheet.header("content-type").starts_with("text/csv"), "{file}: {}", sheet.text);
        assert!(sheet.text.contains("top_up"), "{file}: {}", sheet.text);
    }
    let sheet = owner.get("/admin/audit.csv").await;
    assert!(sheet.status == 200 && sheet.header("content-type").starts_with("text/csv"), "{}", sheet.text);
    assert!(sheet.text.contains("subscriber.create"), "{}", sheet.text);
}

#[tokio::test]
async fn what_is_not_there_is_said_on_a_page() {
    let owner = Reader::owner().await;
    for path in ["/admin/nothing", "/admin/subscribers/sub_01jb3k5m7n9p0q1r2s3t4v5w6x", "/admin/accounts/nonsense"] {
        let page = owner.get(path).await;
        assert!(matches!(page.status, 400 | 404), "{path}: {}", page.status);
        well_formed(path, &page.text);
        assert!(page.text.contains("To the overview"), "{path}: {}", page.text);
    }
}
