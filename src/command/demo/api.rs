//! The operator of the demo: speaks to the API over HTTP, like any machine.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::command::Failure;

/// The API with a key.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
    sent: AtomicU64,
}

impl Api {
    pub(super) fn new(client: reqwest::Client, base: String, key: String) -> Self {
        Self { client, base, key, sent: AtomicU64::new(0) }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.client.get(self.url(path)), path).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        // Should the network repeat a request that moves money, its key says so.
        let key = format!("demo-{}", self.sent.fetch_add(1, Ordering::Relaxed));
        let request = self.client.post(self.url(path)).header("Idempotency-Key", key).json(body);
        self.send(request, path).await
    }

    pub(super) async fn post_csv(&self, path: &str, csv: &str) -> Result<Value, Failure> {
        let request = self.client.post(self.url(path)).header("Content-Type", "text/csv").body(csv.to_owned());
        self.send(request, path).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value, Failure> {
        let gone = |error: reqwest::Error| Failure::other(format!("the API does not answer at {path}: {error}"));
        let answer = request.bearer_auth(&self.key).send().await.map_err(gone)?;
        let status = answer.status();
        let text = answer.text().await.map_err(gone)?;
        if !status.is_success() {
            return Err(Failure::other(format!("the API said {status} at {path}: {text}")));
        }
        serde_json::from_str(&text).map_err(|error| Failure::other(format!("the API said no JSON at {path}: {error}")))
    }
}
