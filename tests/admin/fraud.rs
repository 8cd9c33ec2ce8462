//! The rules of a tenant, the hotlists and the exchange rates, by their pages.

use super::reader::{Reader, well_formed};

#[tokio::test]
async fn a_tenants_rules_are_seen_and_changed() {
    let owner = Reader::owner().await;
    let page = owner.get("/admin/rules").await;
    well_formed("/admin/rules", &page.text);
    let fields = [
        ("which_countries", "some"),
        ("countries", "cz, SK"),
        ("which_kinds", "some"),
        ("block_premium", "on"),
        ("block_satellite", "on"),
        ("barred_prefixes", "420900\n420976"),
        ("max_calls_minute", "5"),
        ("on_fraud", "suspend"),
        ("short_calls", "4"),
        ("classes", "88213,88216 1 3\n4490 - 1\n"),
    ];
    let saved = owner.sends("/admin/rules", "/admin/rules", &fields).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let form = owner.form("/admin/rules", "/admin/rules").await;
    for (name, value) in [
        ("countries", "CZ, SK"),
        ("max_calls_minute", "5"),
        ("short_calls", "4"),
        ("on_fraud", "suspend"),
        ("which_kinds", "some"),
        ("classes", "88213,88216 1 3\n4490 - 1"),
    ] {
        assert_eq!(form.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(form.contains_key("block_premium") && !form.contains_key("block_mobile"), "{form:?}");

    let wrong = owner.sends("/admin/rules", "/admin/rules", &[("barred_prefixes", "+44")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("without plus") && wrong.text.contains("aria-invalid"), "{}", wrong.text);
    well_formed("refused rules", &wrong.text);
    let broken = owner.sends("/admin/rules", "/admin/rules", &[("classes", "88213 many -")]).await;
    assert!(broken.status == 400 && broken.text.contains("role=\"alert\""), "{}", broken.text);
    let none = owner.sends("/admin/rules", "/admin/rules", &[("which_countries", "some"), ("countries", " ")]).await;
    assert_eq!(none.status, 422, "an empty list would mean every country");
    let once = owner.sends("/admin/rules", "/admin/rules", &[("refusals", "51")]).await;
    assert!(once.status == 422 && once.text.contains("0 not to look for it"), "{}", once.text);
}

#[tokio::test]
async fn caps_are_the_operators_to_set() {
    let owner = Reader::owner().await;
    let saved = owner.sends("/admin/rules", "/admin/rules/caps", &[("max_calls", "40"), ("spend_cap", "250,5")]).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let form = owner.form("/admin/rules", "/admin/rules/caps").await;
    assert_eq!((form["max_calls"].as_str(), form["spend_cap"].as_str()), ("40", "250.50"));
    let wrong = owner.sends("/admin/rules", "/admin/rules/caps", &[("max_calls", "0")]).await;
    assert!(wrong.status == 400 && wrong.text.contains("switch the tenant off"), "{}", wrong.text);

    let tenants_own = owner.invites("own@example.com", "owner", false).await;
    let page = tenants_own.get("/admin/rules").await;
    assert!(page.text.contains("250.50") && !page.text.contains("/admin/rules/caps"), "{}", page.text);
    let refused = tenants_own.sends_bare("/admin/rules", "/admin/rules/caps", &[("max_calls", "4000")]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(owner.form("/admin/rules", "/admin/rules/caps").await["max_calls"], "40");
    let reads = owner.invites("reads@example.com", "read_only", false).await;
    let page = reads.get("/admin/rules").await;
    well_formed("rules to read", &page.text);
    assert!(page.status == 200 && !page.text.contains("action=\"/admin/rules\""), "{}", page.text);
}

#[tokio::test]
async fn a_hotlist_is_loaded_from_a_file_seen_and_removed() {
    let owner = Reader::owner().await;
    let new = "/admin/hotlists/new";
    well_formed(new, &owner.get(new).await.text);
    let broken = owner.sends_file(new, "/admin/hotlists", &[("name", "known fraud"), ("text", "")], "88213\nnonsense\n").await;
    assert!(broken.status == 422 && broken.text.contains("line 2"), "{}", broken.text);
    let file = "prefix,why\n+88213,satellite\n449061234567,premium\n";
    let loaded =
        owner.sends_file(new, "/admin/hotlists", &[("name", "known fraud"), ("source", "a carrier"), ("operator", "on")], file).await;
    assert_eq!(loaded.status, 303, "{}", loaded.text);
    let address = loaded.header("location").to_owned();
    let page = owner.get(&address).await;
    well_formed(&address, &page.text);
    assert!(
        page.text.contains("<code>+88213") && page.text.contains("+449061234567") && page.text.contains("every tenant"),
        "{}",
        page.text
    );
    let some = owner.get(&format!("{address}?q=44")).await;
    assert!(some.text.contains("+449061234567") && !some.text.contains("<code>+88213"), "{}", some.text);
    assert!(owner.get("/admin/hotlists").await.text.contains("known fraud"));

    let tenants_own = owner.invites("own@example.com", "owner", false).await;
    assert!(!tenants_own.get(&address).await.text.contains("Remove the list"), "the operator's lists are the operator's");
    assert_eq!(tenants_own.sends_bare("/admin/hotlists", &format!("{address}/remove"), &[]).await.status, 403);

    let replaced = owner.sends_file(&address, &format!("{address}/load"), &[], "88216\n").await;
    assert_eq!(replaced.status, 303, "{}", replaced.text);
    let page = owner.get(&address).await.text;
    assert!(page.contains("<code>+88216") && !page.contains("<code>+88213"), "{page}");
    let removed = owner.sends(&address, &format!("{address}/remove"), &[]).await;
    assert_eq!((removed.status, removed.header("location")), (303, "/admin/hotlists"));
    assert_eq!(owner.get(&address).await.status, 404);
}

#[tokio::test]
async fn exchange_rates_are_added_and_stay() {
    let owner = Reader::owner().await;
    let page = "/admin/exchange-rates";
    well_formed(page, &owner.get(page).await.text);
    let wrong = owner.sends(page, page, &[("from", "usd"), ("to", "usd"), ("rate", "1")]).await;
    assert!(wrong.status == 422 && wrong.text.contains("always one"), "{}", wrong.text);
    let fields = [("from", "usd"), ("to", "eur"), ("rate", "0,9231"), ("effective_from", "2026-03-02T00:00")];
    assert_eq!(owner.sends(page, page, &fields).await.status, 303);
    let shown = owner.get(page).await.text;
    assert!(shown.contains("0.9231") && shown.contains("2026-03-02"), "{shown}");
    let again = owner.sends(page, page, &fields).await;
    assert!(again.status == 409 && again.text.contains("only added"), "{}", again.text);
    let tenants_own = owner.invites("own@example.com", "owner", false).await;
    assert_eq!(tenants_own.get(page).await.status, 403);
    assert!(!tenants_own.get("/admin").await.text.contains(page), "the way there is not shown to those who may not go");
}
