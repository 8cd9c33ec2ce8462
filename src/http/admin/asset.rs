//! Style and script, from the binary. Their address carries a digest of their content, so a browser keeps them for good.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::House;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset { name: "style.css", content_type: "text/css; charset=utf-8", content: include_str!("style.css") },
    Asset { name: "page.js", content_type: "text/javascript; charset=utf-8", content: include_str!("page.js") },
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_str!("icon.svg") },
];

/// Of all of them together.
static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let all = ASSETS.iter().fold(Sha256::new(), |digest, asset| digest.chain_update(asset.content));
    all.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

pub(super) fn router() -> Router<House> {
    Router::new().route("/admin/assets/{digest}/{name}", get(serve))
}

/// Where the asset of this name is.
pub fn path(name: &str) -> String {
    format!("/admin/assets/{}/{name}", *DIGEST)
}

async fn serve(Path((digest, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else { return StatusCode::NOT_FOUND.into_response() };
    let kept = if digest == *DIGEST { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, kept)], asset.content).into_response()
}
