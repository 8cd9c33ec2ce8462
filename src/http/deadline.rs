//! No request waits for ever: books that hang are told as books that are away.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::Problem;

/// From a request's head to its answer's. A body may take [`super::server::Bounds::body`] of it.
const ANSWER: Duration = Duration::from_secs(30);
/// Work on whole decks takes longer.
const DECK: Duration = Duration::from_secs(600);

/// Answers 503 when the answer is not there in time.
pub(super) async fn keep(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let about_decks = path.contains("/import") || path.contains("/roll");
    let longest = if about_decks { DECK } else { ANSWER };
    within(longest, next.run(request)).await
}

async fn within(longest: Duration, answering: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(longest, answering).await {
        Ok(response) => response,
        Err(_) => Problem::books_down(&"no answer in time; look at the database").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_books_that_hang_hears_503() {
        let answer = within(Duration::ZERO, std::future::pending()).await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
}
