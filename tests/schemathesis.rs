//! Schemathesis reads the API's description, sends what fits it and what does not, and checks every answer against it.
//!
//! It runs with all its checks over all operations, on books with one of everything. The program is named by
//! `CALLTHROUGH_TEST_SCHEMATHESIS`; `tests/run` installs it.

use std::process::{Command, Stdio};
use std::time::Duration;

use axum::routing::post;

use callthrough::database::Kind;
use callthrough::http::State;
use serde_json::Value;

use crate::openapi::{CSRF, SIGNED_IN, description, furnished, hold_import};
use crate::support::door::Door;
use crate::support::eventually;
use crate::support::folder::Folder;

/// The chance it begins with: a run can be had again.
const SEED: &str = "20260301";
/// Requests it makes up for each operation.
const EXAMPLES: &str = "15";
/// The same when there is time.
const EXAMPLES_LONG: &str = "150";
/// A run that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(900);
/// What a failed run shows at most.
const SHOWN_BYTES: usize = 60_000;

/// What it is told beside the description. 422 is for what fits the description, and yet cannot be done: money in another currency, a
/// tariff that is not there, a key of an earlier movement.
fn settings(key: &str) -> String {
    let cookie = SIGNED_IN.split_once('=').expect("a name and a value").1;
    format!(
        "hooks = \"hooks.py\"\n\
         [auth.openapi.key]\nbearer = \"{key}\"\n\
         [auth.openapi.session]\napi_key = \"{cookie}\"\n\
         [checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, \"5xx\"]\n\
         [checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 401, 403, 404, 409, 422, 429]\n\
         [auth.openapi.csrf]\napi_key = \"{CSRF}\"\n"
    )
}

/// The description as it is handed over.
fn handed_over() -> Value {
    let mut description = description();
    // Bad examples are for readers and for the tests of examples; here every example is taken for one that fits.
    without_bad_examples(&mut description);
    // On this machine itself the cookie has its plain name.
    description["components"]["securitySchemes"]["session"]["name"] = "callthrough".into();
    description
}

fn without_bad_examples(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(examples)) = fields.get_mut("examples") {
                examples.remove("bad");
                if examples.is_empty() {
                    fields.remove("examples");
                }
            }
            fields.values_mut().for_each(without_bad_examples);
        }
        Value::Array(items) => items.iter_mut().for_each(without_bad_examples),
        _ => {}
    }
}

/// Tables of things that requests take away or use up.
const USED_UP: [&str; 16] = [
    "person",
    "sign_in",
    "invitation",
    "api_key",
    "tenant",
    "subscriber",
    "identity",
    "subscriber_number",
    "credential",
    "access_number",
    "trunk",
    "hotlist",
    "alert",
    "reservation",
    "approval",
    "voucher",
];

async fn execute(state: &State, statements: Vec<String>) {
    let written = state.database.write(move |tx| {
        Box::pin(async move {
            for statement in statements {
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
    });
    written.await.unwrap();
}

/// An address beside the doors that puts back what a request took away or used up, so that the next one finds something.
async fn storeroom(door: &Door) -> String {
    execute(&door.state, USED_UP.iter().map(|table| format!("create table kept_{table} as select * from {table}")).collect()).await;
    let state = door.state.clone();
    let router = axum::Router::new().route(
        "/again",
        post(async move || {
            execute(&state, USED_UP.iter().map(|table| format!("insert or replace into {table} select * from kept_{table}")).collect())
                .await;
            let import = "imp_01jb3k5m7n9p0q1r2s3t4v5w6x".parse().unwrap();
            if state.imports.get(import).is_none() {
                hold_import(&state, "01jb3k5m7n9p0q1r2s3t4v5w6x");
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    format!("http://{address}/again")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_it_makes_up_gets_an_answer_that_is_not_described() {
    let program = std::env::var("CALLTHROUGH_TEST_SCHEMATHESIS").expect(
        "this test needs schemathesis: run tests/run, which installs it, or set CALLTHROUGH_TEST_SCHEMATHESIS to the program, such as \
         .venv/bin/schemathesis",
    );
    let long = std::env::var_os("CALLTHROUGH_TEST_LONG").is_some();
    let door = furnished(Kind::Sqlite).await;
    let folder = Folder::new();
    std::fs::write(folder.file("hooks.py"), include_str!("schemathesis.py")).unwrap();
    std::fs::write(folder.file("schemathesis.toml"), settings(door.key.expose())).unwrap();
    std::fs::write(folder.file("openapi.json"), handed_over().to_string()).unwrap();
    let log = std::fs::File::create(folder.file("log")).unwrap();
    let mut child = Command::new(program)
        .current_dir(folder.path())
        .env("CALLTHROUGH_TEST_AGAIN", storeroom(&door).await)
        .args(["--config-file", "schemathesis.toml", "run", "openapi.json", "--url", &format!("http://{}/api/v1", door.address)])
        .args(["--checks", "all", "--workers", "2", "--seed", SEED, "--generation-database", "none", "--no-color"])
        .args(["--continue-on-failure", "--max-examples", if long { EXAMPLES_LONG } else { EXAMPLES }])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("the program can be started");
    let waited = tokio::task::spawn_blocking(move || {
        let ended = eventually(LONGEST, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        ended
    });
    let ended = waited.await.unwrap();
    let said = std::fs::read(folder.file("log")).unwrap();
    let shown = String::from_utf8_lossy(&said[said.len().saturating_sub(SHOWN_BYTES)..]);
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{shown}");
}
