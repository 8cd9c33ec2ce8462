//! The harness itself: it finds, types, presses and uploads, and it sees what is wrong with a page.

use std::sync::mpsc;

use super::support::browser::Browser;
use super::support::folder::Folder;

/// A page with a form, and a page with a picture nobody can hear.
fn pages() -> std::net::SocketAddr {
    let good = "<!doctype html><html lang=en><title>Form</title><meta name=viewport content='width=device-width'><main><h1>Form</h1>\
        <form action=/sent><label for=a>Your name</label><input id=a name=name value=old> <label for=f>A file</label><input id=f type=file name=file> \
        <label for=c>Colour</label><select id=c name=colour><option>red<option>green</select> <button>Send it</button></form></main>";
    let bad = "<!doctype html><title>x</title><img src=data:image/gif;base64,R0lGODlhAQABAAAAACw=><div style='width:3000px'>wide</div>";
    let (told, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let html = axum::response::Html::<String>;
            let sent =
                axum::routing::get(async move |query: axum::extract::RawQuery| html(format!("<p>got {}", query.0.unwrap_or_default())));
            let router = axum::Router::new()
                .route("/", axum::routing::get(async move || html(good.to_owned())))
                .route("/bad", axum::routing::get(async move || html(bad.to_owned())))
                .route("/sent", sent);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            callthrough::http::serve(
                listener,
                None,
                router,
                callthrough::http::Bounds::default(),
                tokio_util::sync::CancellationToken::new(),
            )
            .await;
        });
    });
    address.recv().unwrap()
}

#[test]
fn a_person_types_chooses_uploads_and_presses() {
    let address = pages();
    let mut browser = Browser::start();
    browser.goes_to(&format!("http://{address}/"));
    browser.sees("form");
    browser.looks_at("harness");
    browser.has_seen_nothing_wrong();
    browser.types("Your name", "Jo");
    browser.chooses("Colour", "green");
    let folder = Folder::new();
    std::fs::write(folder.file("deck.csv"), "x").unwrap();
    browser.uploads("A file", &folder.file("deck.csv"));
    browser.presses("Send it");
    browser.sees("got name=Jo&file=deck.csv&colour=green");
    let (status, kind, text) = browser.fetches(&format!("http://{address}/sent?x=1"));
    assert_eq!((status, kind.as_str(), text.as_str()), (200, "text/html; charset=utf-8", "<p>got x=1"));
}

#[test]
#[should_panic(expected = "image-alt")]
fn what_a_page_keeps_from_somebody_is_found() {
    let address = pages();
    let mut browser = Browser::start();
    browser.goes_to(&format!("http://{address}/bad"));
    browser.looks_at("harness-bad");
    browser.has_seen_nothing_wrong();
}
