//! Two tenants of one operator, apart on the pages too: every page and form of one with the other's identifiers is answered as if
//! nothing of that name existed, lists and exports are empty whatever they are searched by.

use std::path::Path;

use callthrough::database::Kind;
use callthrough::people::sign_in;
use sha2::{Digest as _, Sha256};

use crate::support::door::{Answer, Door};
use crate::tenants::{THEIRS, WORDS, nobodys, two};

/// Who of the other tenant looks: one of its own people, and one of the operator's who works for it.
const TOKENS: [&str; 2] = ["northSignIn0000000000000000", "operatorSignIn0000000000000"];
/// Pages of nobody's books: who somebody is, and the way in and out.
const OWN: [&str; 9] = [
    "/admin/assets/",
    "/admin/confirm",
    "/admin/me",
    "/admin/sign-in",
    "/admin/sign-out",
    "/admin/tenant",
    "/admin/welcome/",
    "/admin/{*rest}",
    // The carriers and the other customers are the operator's to see; a tenant's people are refused there whatever they name.
    "/admin/tenants",
];

/// A page or form and how it is asked for.
struct Page {
    method: &'static str,
    path: String,
}

/// Every page and form in the sources.
fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    pages_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/admin"), &mut found);
    found.retain(|page| !OWN.iter().any(|own| page.path.starts_with(own)));
    found
}

fn pages_below(folder: &Path, found: &mut Vec<Page>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.is_dir() {
            pages_below(&file, found);
            continue;
        }
        let Ok(source) = std::fs::read_to_string(file) else { continue };
        let here = source.split("const HERE: &str = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        for call in source.split(".route(").skip(1) {
            let (first, rest) = call.split_once(',').unwrap();
            let path = if first == "HERE" { here } else { first.trim().trim_matches('"') };
            let rest = rest.lines().next().unwrap();
            for method in ["get", "post"] {
                if rest.contains(&format!("{method}(")) {
                    found.push(Page { method, path: path.to_owned() });
                }
            }
        }
    }
}

/// The other's identifier for a part of a path; who adds a page with another kind of identifier says here what the books have.
fn theirs(part: &str) -> String {
    let kind = match part {
        "number" => return "%2B15551230000".to_owned(),
        "month" => return "2026-03".to_owned(),
        "account_id" => "acct",
        "alert_id" => "alert",
        "approval_id" => "appr",
        "batch_id" => "vbat",
        "call_id" => "call",
        "deck_id" => "deck",
        "hotlist_id" => "hot",
        "import_id" => "imp",
        "key_id" => "key",
        "person_id" => "pers",
        "posting_id" => "post",
        "reservation_id" => "resv",
        "subscriber_id" => "sub",
        "trunk_id" => "trunk",
        other => panic!("what does {{{other}}} stand for? Give an identifier of the furnished books"),
    };
    format!("{kind}_{THEIRS}6x")
}

/// What forms and searches may name of the other's; each page takes of it what it knows.
fn named() -> Vec<(&'static str, String)> {
    let id = |kind: &str| format!("{kind}_{THEIRS}6x");
    vec![
        ("access_number", "+15551230000".to_owned()),
        ("access_wish", "+15551230000".to_owned()),
        ("account_id", id("acct")),
        ("caller", "+420601123456".to_owned()),
        ("credential_id", id("cred")),
        ("deck_id", id("deck")),
        ("destination", "+420601123456".to_owned()),
        ("identity", "alice".to_owned()),
        ("name", "Alice".to_owned()),
        ("number", "+420601123456".to_owned()),
        ("q", "Alice".to_owned()),
        ("search", "Alice".to_owned()),
        ("subscriber_id", id("sub")),
        ("target", id("acct")),
        ("to_account_id", format!("acct_{THEIRS}7x")),
        ("version_id", id("dver")),
        ("voucher_id", id("vou")),
        ("who", id("pers")),
    ]
}

/// What a form needs besides.
const FILLED_IN: [(&str, &str); 14] = [
    ("amount", "1.00"),
    ("charge", "0.10"),
    ("code", "0123-4567-89AB-CDEF-V"),
    ("country", "US"),
    ("currency", "EUR"),
    ("fingerprint", "something"),
    ("home_country", "CZ"),
    ("kind", "token"),
    ("once", "a key of its own"),
    ("payment", "receipt 1"),
    ("reason", "by mistake"),
    ("role", "support"),
    ("scopes", "read"),
    ("text", "88213"),
];

struct Browser<'d> {
    door: &'d Door,
    client: reqwest::Client,
    token: &'static str,
    tenant: String,
}

impl Browser<'_> {
    async fn asks(&self, page: &Page, address: &str, fields: &[(String, String)]) -> Answer {
        let url = format!("http://{}{address}", self.door.address);
        let origin = format!("http://{}", self.door.address);
        let request = self.client.request(page.method.to_uppercase().parse().unwrap(), url);
        let request = request.header("cookie", format!("callthrough={}; tenant={}", self.token, self.tenant)).header("origin", origin);
        if page.method == "get" {
            return Answer::of(request).await;
        }
        let csrf = ("csrf".to_owned(), sign_in::csrf(self.token).expose().to_owned());
        let fields: Vec<_> = std::iter::once(&csrf).chain(fields).collect();
        if !page.path.ends_with("/import") {
            return Answer::of(request.form(&fields)).await;
        }
        let part =
            |(name, value): &&(String, String)| format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        let mut body: String = fields.iter().map(part).collect();
        body += "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nprefix,per_minute\n1,0.01\n\r\n--edge--\r\n";
        Answer::of(request.header("content-type", "multipart/form-data; boundary=edge").body(body)).await
    }
}

/// An answer without what is new each time or says back what was asked.
fn told(answer: &Answer) -> (u16, String, String) {
    let once = regex::Regex::new("name=\"(csrf|once|key)\" value=\"[^\"]*\"").unwrap();
    let plain = |text: &str| once.replace_all(&nobodys(text), "").into_owned();
    (answer.status, plain(answer.header("location")), plain(&answer.text))
}

/// People of the other tenant and of the operator, signed in.
async fn signed_in(door: &Door, tenant: &str) {
    let now = door.state.clock.timestamp().as_micros();
    let mut statements = Vec::new();
    for ((token, own), id) in TOKENS.into_iter().zip([format!("'{tenant}'"), "null".to_owned()]).zip(["n", "p"]) {
        let digest: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let id = format!("01jb3k5m7n{id}0q1r2s3t4v5w6x");
        statements.push(format!(
            "insert into person (id, tenant_id, login, name, role, password, created_at_us) \
             values ('pers_0{id}', {own}, 'carl{id}@example.com', 'Carl', 'owner', 'x', {now})"
        ));
        statements.push(format!(
            "insert into sign_in (id, person_id, digest, source, agent, created_at_us, seen_at_us, confirmed_at_us) \
             values ('sign_0{id}', 'pers_0{id}', '{digest}', '127.0.0.1', 'test', {now}, {now}, {now})"
        ));
    }
    let written = door.state.database.write(move |tx| {
        Box::pin(async move {
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    });
    written.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_or_form_tells_of_anothers_things() {
    let (door, tenant) = two(Kind::Sqlite).await;
    signed_in(&door, &tenant).await;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let (mut wrong, mut tried, mut shown) = (Vec::new(), 0, 0);
    for token in TOKENS {
        let browser = Browser { door: &door, client: client.clone(), token, tenant: tenant.clone() };
        for page in pages() {
            let operators = token == TOKENS[1] && ["/admin/trunks", "/admin/exchange-rates"].iter().any(|own| page.path.starts_with(own));
            let whole = page
                .path
                .split('/')
                .map(|part| part.strip_prefix('{').map_or_else(|| part.to_owned(), |part| theirs(part.trim_end_matches('}'))));
            let address = whole.collect::<Vec<_>>().join("/");
            let one = page.path.replace("{month}", "").contains('{');
            // A form without an identifier makes something of their own; what it may name is tried at the API.
            if operators || (page.method == "post" && !one) {
                continue;
            }
            let filled = FILLED_IN.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let all: Vec<_> = named().into_iter().map(|(name, value)| (name.to_owned(), value)).chain(filled).collect();
            // A page is asked bare and searched by each thing; a form is sent once.
            let mut searches = vec![String::new()];
            if page.method == "get" && !one {
                searches.extend(named().iter().map(|(name, value)| format!("?{}", serde_urlencoded::to_string([(name, value)]).unwrap())));
            }
            for search in searches {
                let asked = format!("{address}{search}");
                let fields_of_nobody: Vec<_> = all.iter().map(|(name, value)| (name.clone(), nobodys(value))).collect();
                let at_theirs = browser.asks(&page, &asked, &all).await;
                let at_nothing = browser.asks(&page, &nobodys(&asked), &fields_of_nobody).await;
                tried += 1;
                shown += usize::from(at_theirs.status == 200);
                assert_ne!(at_theirs.header("location").split('?').next(), Some("/admin/sign-in"), "{asked}: nobody is signed in");
                if told(&at_theirs) != told(&at_nothing) {
                    wrong.push(format!("{} {asked}: {:?}\n    but about nothing: {:?}", page.method, told(&at_theirs), told(&at_nothing)));
                }
                if one && at_theirs.status < 400 {
                    wrong.push(format!("{} {asked}: {}", page.method, at_theirs.status));
                }
                // What was asked for is said back; nothing else of theirs is.
                let leaks = |word: &str| at_theirs.text.contains(word) && !asked.replace("%2B", "+").contains(word);
                if page.method == "get" && !one && (leaks(THEIRS) || WORDS.iter().any(|word| leaks(word))) {
                    wrong.push(format!("{} {asked} shows {}", page.method, at_theirs.text));
                }
            }
        }
    }
    let wrong: Vec<String> = wrong.into_iter().map(|line| line.chars().take(1500).collect()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(tried > 500 && shown > 300, "{tried} tried, {shown} shown: were the pages found at all?");
}
