//! The drawing of the house stays true: who may import whom, who may touch what, which words are banned where.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Each room with the rooms it may import besides its own and `types`. Lower rooms first.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("database", &[]),
    ("sdp", &[]),
    ("sip", &["sdp"]),
    ("media", &["sdp"]),
    ("call", &[]),
    ("geoip", &[]),
    ("tenant", &["database"]),
    ("alert", &["database"]),
    ("fraud", &["database"]),
    ("rating", &["database"]),
    ("subscriber", &["database"]),
    ("people", &["database", "tenant", "subscriber"]), // secrets are hashed and sealed as the subscribers' are
    ("trunk", &["database", "sip", "subscriber"]),     // passwords are sealed as the subscribers' are
    ("cdr", &["database", "rating", "call", "media"]),
    ("stats", &["database", "call", "cdr"]),
    ("ledger", &["database", "rating", "cdr", "alert"]), // its verification reads the records
    ("trace", &["database", "sip"]),
    ("callthrough", &["database", "tenant", "alert", "fraud", "subscriber", "rating", "ledger", "geoip", "trunk"]),
    (
        "b2bua",
        &[
            "database",
            "tenant",
            "alert",
            "fraud",
            "sip",
            "sdp",
            "media",
            "call",
            "subscriber",
            "trunk",
            "rating",
            "ledger",
            "cdr",
            "stats",
            "trace",
            "callthrough",
        ],
    ),
    (
        "http",
        &[
            "database",
            "tenant",
            "people",
            "alert",
            "fraud",
            "subscriber",
            "trunk",
            "rating",
            "ledger",
            "media",
            "cdr",
            "stats",
            "geoip",
            "trace",
            "callthrough",
            "b2bua",
            "call",
        ],
    ),
    (
        "jobs",
        &[
            "database",
            "tenant",
            "people",
            "alert",
            "fraud",
            "subscriber",
            "trunk",
            "rating",
            "ledger",
            "cdr",
            "stats",
            "geoip",
            "trace",
            "callthrough",
            "b2bua",
            "http",
        ],
    ),
    (
        "config",
        &["b2bua", "callthrough", "cdr", "geoip", "http", "jobs", "ledger", "media", "rating", "sip", "subscriber", "trace", "trunk"],
    ),
    ("app", &["*"]),
    ("simulate", &[]),
    ("command", &["*"]),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// What only some files may touch: the words, and the beginnings of the paths that may say them.
const TOUCH: &[(&[&str], &[&str])] = &[
    // Naming a connection or an error is fine; saying SQL is for the drawers.
    (
        &["sqlx::query", "sqlx::raw_sql", "sqlx::Row", "sqlx::QueryBuilder"],
        &["database.rs", "*/store.rs", "b2bua/books.rs", "b2bua/books/", "app.rs"],
    ),
    (&["axum::", "hyper::", "hyper_util::"], &["http/"]),
    (
        &["tokio::net", "std::net::UdpSocket", "std::net::Tcp", "socket2::"],
        &["sip/", "media/relay.rs", "media/rtpengine/", "trace/export.rs", "app.rs", "http/server.rs", "http/tls.rs", "command/"],
    ),
    (&["reqwest::"], &["simulate.rs", "simulate/", "command/"]),
    (&["SystemTime::now", "Instant::now"], &["types/clock.rs"]),
    (&["getrandom::"], &["types/random.rs"]),
    (&["std::env::"], &["config.rs", "command/", "main.rs"]),
    (&["rustls::"], &["http/tls.rs", "http/server.rs", "sip/net/", "app.rs"]),
    (&["hickory_resolver::", "webpki::"], &["sip/net/"]),
];

/// Files in which money is counted: integers only (spec: money, M1).
const MONEY: &[&str] = &["types/money.rs", "rating/", "ledger/", "cdr/", "b2bua/books"];

struct Source {
    /// Path below `src/`, with forward slashes.
    path: String,
    /// The text before its tests.
    code: String,
}

/// Tests too long for the foot of their file stand beside it.
fn is_test(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    path.file_name().is_some_and(|name| name == "tests.rs") || folder.is_some_and(|name| name == "tests")
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            Source { path: path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/"), code }
        })
        .collect()
}

fn room(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The rooms named after `crate::` in the code, braces included.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(braces) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut start = true;
            for (offset, character) in braces.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        rooms.push(name(&braces[offset..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            rooms.push(name(rest));
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_the_drawing_allows() {
    let mut wrong = String::new();
    for source in sources() {
        let own = room(&source.path);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == own) else {
            writeln!(wrong, "src/{}: the room `{own}` is not in the drawing", source.path).unwrap();
            continue;
        };
        for import in imports(&source.code) {
            let fine = import == own || import == "types" || allowed.contains(&"*") || allowed.contains(&import.as_str());
            if !fine && ROOMS.iter().any(|(name, _)| *name == import) {
                writeln!(wrong, "src/{}: `{own}` may not import `{import}`", source.path).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_drawing_has_no_cycles() {
    for (index, (room, allowed)) in ROOMS.iter().enumerate() {
        for below in allowed.iter().filter(|below| **below != "*") {
            let at = ROOMS.iter().position(|(name, _)| name == below).unwrap_or_else(|| panic!("`{below}` is no room"));
            assert!(at < index, "`{room}` stands below `{below}`");
        }
    }
}

#[test]
fn only_the_edges_touch_the_world() {
    let mut wrong = String::new();
    for source in sources() {
        for (words, places) in TOUCH {
            let allowed = places.iter().any(|place| match place.strip_prefix("*/") {
                Some(file) => source.path.ends_with(&format!("/{file}")),
                None => source.path.starts_with(place),
            });
            for word in words.iter().filter(|word| !allowed && mentions(&source.code, word)) {
                writeln!(wrong, "src/{}: `{word}` belongs to {}", source.path, places.join(", ")).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Does the code say `word`, and not as the tail of a longer name (`tokio_rustls::` is not `rustls::`)?
fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

#[test]
fn money_is_integers() {
    for source in sources().iter().filter(|source| MONEY.iter().any(|place| source.path.starts_with(place))) {
        for float in ["f32", "f64"] {
            let said = source.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == float);
            assert!(!said, "src/{}: money is never `{float}`", source.path);
        }
    }
}

#[test]
fn the_call_machine_touches_nothing() {
    for source in sources().iter().filter(|source| room(&source.path) == "call") {
        for word in ["async ", "await", "tokio", "sqlx", "Timestamp", "Clock", "SystemTime"] {
            assert!(!source.code.contains(word), "src/{}: the call machine knows no `{word}`", source.path);
        }
    }
}

#[test]
fn pure_rules_take_values_and_return_values() {
    let pure = [
        "rating/rate.rs",
        "ledger/hold.rs",
        "trunk/select.rs",
        "trunk/normalise.rs",
        "callthrough/access_number.rs",
        "callthrough/dial_string.rs",
    ];
    let sources = sources();
    for path in pure {
        let source = sources.iter().find(|source| source.path == path).unwrap_or_else(|| panic!("src/{path} is missing"));
        assert!(!source.code.contains("async "), "src/{path} decides without waiting");
    }
}

#[test]
fn the_map_names_every_room() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for source in sources() {
        let room = room(&source.path);
        assert!(room == "main" || room == "lib" || map.contains(&format!("mod {room};")), "src/lib.rs does not name `{room}`");
    }
}

#[test]
fn no_door_writes_the_books() {
    for source in sources().iter().filter(|source| room(&source.path) == "http") {
        for word in ["insert into", "update account", "cdr::store::write"] {
            let own_drawer = source.path.ends_with("store.rs") && !word.contains("account");
            assert!(own_drawer || !source.code.contains(word), "src/{}: `{word}` is not a door's work", source.path);
        }
    }
}
