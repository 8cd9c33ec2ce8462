//! Many subscribers, many calls: each list and page answers at once, and an export streams whatever its length.

use std::time::Duration;

use callthrough::database::Database;
use callthrough::stats;
use callthrough::types::Clock;
use sqlx::{Connection as _, Executor as _};

use crate::support::folder::Folder;
use crate::support::long_form;
use crate::support::server::Server;
use crate::support::traffic::usage;

/// What a list page may take (the promise is of the program as it is built for use).
const PROMISED: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 150 });
/// Times each is asked.
const TIMES: usize = 15;
/// What the server's memory may grow by while an export runs.
const EXPORT_KIB: u64 = 64 * 1024;

/// Fills the books, the fast way: plain statements, nothing synced.
async fn fill(file: &str, subscribers: i64, calls: i64, now: i64) {
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{file}")).await.unwrap();
    connection
        .execute("pragma synchronous = off; pragma journal_mode = wal; pragma busy_timeout = 10000; pragma cache_size = -262144")
        .await
        .unwrap();
    let people = format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {subscribers})");
    let us_a_call = 30 * 86_400_000_000_i64 / calls;
    let records = format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {calls})");
    for statement in [
        format!(
            "{people} insert into account (id, currency, balance_micros, created_at_us) select printf('acct_%026d', i), 'EUR', 0, {now} from n"
        ),
        format!(
            "{people} insert into subscriber (id, account_id, name, home_country, created_at_us) \
             select printf('sub_%026d', i), printf('acct_%026d', i), 'Subscriber ' || i, 'US', {now} from n"
        ),
        format!("{people} insert into identity (name, subscriber_id) select 'user' || i, printf('sub_%026d', i) from n"),
        format!(
            "{people} insert into subscriber_number (number, subscriber_id, verified_at_us) \
             select printf('+1555%07d', i), printf('sub_%026d', i), {now} from n"
        ),
        format!(
            "{people} insert into posting (id, account_id, seq, kind, cause, idempotency_key, created_at_us, prev_hash, hash) \
             select printf('post_%026d', i), printf('acct_%026d', 1 + i % 50), 1000 + i, 'top_up', 'x', 'fill-' || i, {now}, '', '' from n"
        ),
        format!(
            "{people} insert into entry (posting_id, line, book, account_id, currency, amount_micros) \
             select printf('post_%026d', i), 0, 'subscriber', printf('acct_%026d', 1 + i % 50), 'EUR', 1000000 from n"
        ),
        format!(
            "{people} insert into audit (id, tenant_id, at_us, who, name, source, action, target) \
             select printf('audit_%026d', i), 'ten_00000000000000000000000000', {now}, 'server', 'x', '', 'subscriber.update', printf('sub_%026d', i) from n"
        ),
        format!(
            "{people} insert into reservation (id, subscriber_id, access_number, destination, state, rule, created_at_us, expires_at_us, late_until_us) \
             select printf('resv_%026d', i), printf('sub_%026d', i), '+15551230000', '+15551231234', \
             case when i % 20 = 0 then 'expired' else 'used' end, 'x', {now} - i * 600000, {now}, {now} from n"
        ),
        format!(
            "{records} insert into cdr (call_id, subscriber_id, account_id, sip_call_id, caller, dialled, destination, trunk_in, trunk_out, cause, \
             began_at_us, answered_at_us, ended_at_us, duration_ns, billed_secs, currency, charge_micros, charge_numerator, rounding) \
             select printf('call_%026d', i), printf('sub_%026d', 1 + (i * 7919) % {subscribers}), printf('acct_%026d', 1 + (i * 7919) % {subscribers}), \
             'sip-' || i, printf('+1555%07d', 1 + (i * 7919) % {subscribers}), '+15551230000', \
             printf('+%d%09d', 1 + (i * 31) % 97, i % 1000000000), 'origin', 'trunk' || (i % 5), case i % 3 when 0 then 'busy' else 'answered' end, \
             {now} - ({calls} - i) * {us_a_call}, case i % 3 when 0 then null else {now} - ({calls} - i) * {us_a_call} end, \
             {now} - ({calls} - i) * {us_a_call} + 90000000, case i % 3 when 0 then 0 else 90000000000 end, case i % 3 when 0 then 0 else 90 end, \
             'EUR', case i % 3 when 0 then 0 else 1000 * (i % 1000) end, '0', 'up' from n"
        ),
        "analyze".to_owned(),
        "pragma wal_checkpoint(truncate)".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// The lists of the API.
const LISTS: [&str; 22] = [
    "/subscribers",
    "/subscribers?number=%2B15550000777",
    "/subscribers?identity=user777",
    "/cdrs",
    "/cdrs?limit=500",
    "/cdrs?answered=true",
    "/cdrs?answered=false",
    "/cdrs?cause=busy",
    "/cdrs?destination=44",
    "/cdrs?destination=4",
    "/cdrs?min_charge=0.9",
    "/cdrs?trunk_out=trunk3",
    "/cdrs?caller=%2B15550000777",
    "/cdrs?sip_call_id=sip-777",
    "/reservations",
    "/calls",
    "/access-numbers",
    "/trunks",
    "/decks",
    "/audit",
    "/stats/overview",
    "/stats/series?span=30d",
];

/// The pages with lists.
const PAGES: [&str; 22] = [
    "/admin",
    "/admin?span=30d",
    "/admin/subscribers",
    "/admin/subscribers?q=Subscriber+777",
    "/admin/subscribers?search=Subscriber+777",
    "/admin/subscribers/sub_00000000000000000000000777",
    "/admin/accounts/acct_00000000000000000000000007",
    "/admin/cdrs",
    "/admin/cdrs?cause=busy&destination=44",
    "/admin/cdrs?subscriber_id=sub_00000000000000000000000777",
    "/admin/calls",
    "/admin/reservations",
    "/admin/access-numbers",
    "/admin/approvals",
    "/admin/vouchers",
    "/admin/tenants",
    "/admin/people",
    "/admin/keys",
    "/admin/audit",
    "/admin/accounts",
    "/admin/holds",
    "/admin/transfers",
];

#[test]
fn lists_and_pages_answer_at_once_and_exports_stream() {
    let (subscribers, calls) = if long_form() { (100_000, 5_000_000) } else { (2_000, 50_000) };
    let folder = Folder::new();
    let server = Server::start(&folder, "");
    let clock = Clock::system();
    let file = folder.file("data/callthrough.sqlite").display().to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = clock.now();
    runtime.block_on(async {
        fill(&file, subscribers, calls, clock.timestamp().as_micros()).await;
        let database = Database::open(&format!("sqlite:{file}")).await.unwrap();
        let now = clock.timestamp();
        // What the night watch does as records come, and once a minute.
        database.write(move |tx| Box::pin(stats::recount(tx, now))).await.unwrap();
        database.write(move |tx| Box::pin(stats::count_requests(tx, now))).await.unwrap();
        database.close().await;
    });
    let size = std::fs::metadata(&file).unwrap().len() >> 20;
    println!("{subscribers} subscribers and {calls} records in {:.0} s, {size} MiB", clock.now().since(began).as_secs_f64());

    let key = server.key();
    let base = format!("http://{}", server.http);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(3600))
        .build()
        .unwrap();
    let cookie = runtime.block_on(owner(&client, &base, &server.printed(&format!("{base}/admin/welcome/"))));
    let mut slow = Vec::new();
    let api = LISTS.iter().map(|path| format!("{base}/api/v1{path}"));
    let pages = PAGES.iter().map(|path| format!("{base}{path}"));
    for url in api.chain(pages) {
        let mut took: Vec<_> = (0..TIMES)
            .map(|_| {
                runtime.block_on(async {
                    let sent = clock.now();
                    let request = client.get(&url);
                    let request = if url.contains("/api/") { request.bearer_auth(&key) } else { request.header("Cookie", &cookie) };
                    let answer = request.send().await.unwrap();
                    let status = answer.status();
                    let text = answer.text().await.unwrap();
                    assert!(status.is_success(), "{url}: {status} {}", &text[..text.len().min(500)]);
                    clock.now().since(sent)
                })
            })
            .collect();
        took.sort_unstable();
        let (half, most) = (took[TIMES / 2], took[TIMES - 1]);
        println!("{:>7.1} ms p50 {:>7.1} ms max  {}", half.as_secs_f64() * 1000.0, most.as_secs_f64() * 1000.0, &url[base.len()..]);
        if half > PROMISED {
            slow.push(format!("{url}: {half:?}"));
        }
    }

    let before = usage(server.pid()).memory_kib;
    let mut most = before;
    let (mut bytes, mut lines) = (0, 0);
    let sent = clock.now();
    runtime.block_on(async {
        let mut answer = client.get(format!("{base}/admin/cdrs.csv")).header("Cookie", &cookie).send().await.unwrap();
        assert!(answer.status().is_success());
        let mut parts = 0_u32;
        while let Some(part) = answer.chunk().await.unwrap() {
            bytes += part.len();
            lines += part.split(|&byte| byte == b'\n').count() - 1;
            parts += 1;
            if parts.is_multiple_of(500) {
                most = most.max(usage(server.pid()).memory_kib);
            }
        }
    });
    let took = clock.now().since(sent).as_secs_f64();
    println!("export of {lines} lines, {} MiB, in {took:.0} s; memory {before} -> {most} KiB", bytes >> 20);
    assert_eq!(i64::try_from(lines).unwrap(), calls + 1, "every record and the headings");
    assert!(most <= before + EXPORT_KIB, "an export holds memory: {before} -> {most} KiB");
    assert!(slow.is_empty(), "slower than {PROMISED:?}:\n{}", slow.join("\n"));
}

/// Becomes the owner by the printed link: the cookie of their sign-in.
async fn owner(client: &reqwest::Client, base: &str, link: &str) -> String {
    let password = "correct horse battery staple";
    let form = [("login", "owner@example.com"), ("name", "The owner"), ("password", password), ("again", password)];
    let answer = client.post(link).header("Origin", base).header("Sec-Fetch-Site", "same-origin").form(&form).send().await.unwrap();
    let cookies = answer.headers().get_all("set-cookie").iter().filter_map(|one| one.to_str().ok()?.split(';').next());
    let cookies: Vec<_> = cookies.map(str::to_owned).collect();
    assert!(!cookies.is_empty(), "no sign-in: {} {}", answer.status(), answer.text().await.unwrap());
    cookies.join("; ")
}
