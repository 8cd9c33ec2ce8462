//! Requests as phones write them.

use super::*;

fn endpoint() -> Endpoint {
    Endpoint::built_in().remove(0)
}

fn by_query(query: &str) -> Result<Fields, Trouble> {
    let endpoint = endpoint();
    let fit = endpoint.path.fit("/callthrough").unwrap();
    read(&endpoint, &fit, Arrived { query, content_type: None, body: b"" }, |_| None)
}

fn by_body(content_type: Option<&str>, body: &str) -> Result<Fields, Trouble> {
    let endpoint = endpoint();
    let fit = endpoint.path.fit("/callthrough").unwrap();
    read(&endpoint, &fit, Arrived { query: "", content_type, body: body.as_bytes() }, |_| None)
}

fn by_path(path: &str) -> Result<Fields, Trouble> {
    let endpoint = Endpoint::built_in().remove(1);
    let fit = endpoint.path.fit(path).unwrap();
    read(&endpoint, &fit, Arrived { query: "", content_type: None, body: b"" }, |_| None)
}

fn number(fields: Result<Fields, Trouble>, home: &str) -> Option<String> {
    let fields = fields.ok()?;
    crate::types::E164::parse(fields.get(Field::Target)?, home.parse().unwrap()).ok().map(|number| number.to_string())
}

#[test]
fn the_table_of_plus_signs_and_friends() {
    let us = Some("+15551231234".to_owned());
    for query in [
        "to=%2B15551231234",
        "to=+15551231234",
        "to=%2015551231234",
        "to=15551231234",
        "to=5551231234",
        "to=01115551231234",
        "to=+1+(555)+123-1234",
        "to=tel:%2B15551231234",
        "to=%D9%A1%D9%A5%D9%A5%D9%A5%D9%A1%D9%A2%D9%A3%D9%A1%D9%A2%D9%A3%D9%A4",
        "to=5551231234+",
    ] {
        assert_eq!(number(by_query(query), "US"), us, "{query}");
        assert_eq!(number(by_body(None, query), "US"), us, "{query} as a form");
    }
    assert_eq!(number(by_query("to=0015551231234"), "GB"), us);
    assert_eq!(number(by_query("to=601123456"), "CZ").as_deref(), Some("+420601123456"));
    assert_eq!(number(by_query("to=00420601123456"), "CZ").as_deref(), Some("+420601123456"));
    for path in [
        "/callthrough/ann/%2B15551231234",
        "/callthrough/ann/+15551231234",
        "/callthrough/ann/%2015551231234",
        "/callthrough/ann/5551231234",
    ] {
        assert_eq!(number(by_path(path), "US"), us, "{path}");
    }
    for body in [r#"{"to":"+15551231234"}"#, r#"{"to":15551231234}"#, r#"{"to":" 15551231234","x":{"deep":[1]}}"#] {
        assert_eq!(number(by_body(Some("application/json; charset=utf-8"), body), "US"), us, "{body}");
    }
    for query in ["to=%252B15551231234", "to=++15551231234", "to=letters", "to=sip:15551231234", "to=1555%00", "to=1234567890123456", "to="]
    {
        assert_eq!(number(by_query(query), "US"), None, "{query}");
    }
    assert_eq!(number(by_path("/callthrough/ann/%252B15551231234"), "US"), None);
}

#[test]
fn one_field_twice_must_say_the_same() {
    assert!(by_query("to=%2B15551231234&targetNumber=+15551231234").is_ok());
    assert_eq!(by_query("to=15551231234&to=15551239999"), Err(Trouble::field("conflicting_fields")));
    assert_eq!(by_body(Some("application/json"), r#"{"to":"1","to":"2"}"#), Err(Trouble::field("conflicting_fields")));
    assert_eq!(by_query("TO=15551231234&number=15551239999"), Err(Trouble::field("conflicting_fields")));
    assert_eq!(by_query(&"a=1&".repeat(65)), Err(Trouble::field("too_many_fields")));
    assert!(by_query(&"a=1&".repeat(64)).is_ok());
}

#[test]
fn what_cannot_be_read_is_said_so() {
    assert_eq!(by_query("to=%FF"), Err(unreadable()));
    for body in ["{", "[]", "3", r#"{"to":true}"#, r#"{"to":1.5}"#, r#"{"to":{"a":1}}"#] {
        assert_eq!(by_body(Some("application/json"), body), Err(unreadable()), "{body}");
    }
    assert_eq!(by_body(Some("application/json"), r#"{"to":null}"#).unwrap().get(Field::Target), None);
    assert_eq!(by_body(Some("application/json"), " ").unwrap(), Fields::default());
}

#[test]
fn paths_forgive_slashes_and_take_suffixes() {
    let [plain, path] = Endpoint::built_in().try_into().unwrap();
    assert!(plain.path.fit("//callthrough//").is_some());
    assert!(plain.path.fit("/callthrough.json").is_some_and(|fit| fit.format == Some(Format::Json)));
    assert!(plain.path.fit("/callthrough.html").is_none());
    assert!(plain.path.fit("/callthrough/a").is_none());
    let fit = path.path.fit("/callthrough//johndow/%2B15551231234.form").unwrap();
    assert_eq!((fit.captures[1].1, fit.format), ("%2B15551231234", Some(Format::Form)));
    assert!(path.path.fit("/callthrough/john.doe/1").is_some_and(|fit| fit.captures[0].1 == "john.doe"));
    for text in ["callthrough", "/a?b", "/{}", "/a{b}", "/{a}{b}"] {
        assert!(Template::try_from(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn an_operator_names_fields_anew() {
    let mut endpoint = endpoint();
    endpoint.fields = BTreeMap::from([(Field::Target, vec!["dialled".to_owned()])]);
    endpoint.headers = BTreeMap::from([(Field::Device, "x-device".to_owned())]);
    let fit = endpoint.path.fit("/callthrough").unwrap();
    let arrived = Arrived { query: "dialled=1&to=2&u=ann", content_type: None, body: b"" };
    let fields = read(&endpoint, &fit, arrived, |name| (name == "x-device").then_some("phone-1")).unwrap();
    let get = |field| fields.get(field);
    assert_eq!((get(Field::Target), get(Field::User), get(Field::Device)), (Some("1"), Some("ann"), Some("phone-1")));
}
