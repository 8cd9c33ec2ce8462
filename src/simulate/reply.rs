//! Reading what the server answers, by its Content-Type, and what the operator provisions.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The fields of an answer in their order.
pub type Fields = Vec<(String, String)>;

/// Elements within elements.
const MAX_DEPTH: usize = 16;

/// The fields of an answer: XML (the default), JSON or a form.
pub fn read_fields(content_type: &str, body: &str) -> Result<Fields, String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/xml" | "text/xml" | "" => children(body),
        "application/json" => json(body),
        "application/x-www-form-urlencoded" => serde_urlencoded::from_str(body).map_err(|error| error.to_string()),
        other => Err(format!("{other} is none of application/xml, application/json and application/x-www-form-urlencoded")),
    }
}

/// The nodes of an Account XML.
pub fn read_account(xml: &str) -> Result<Fields, String> {
    let nodes = children(xml)?;
    if nodes.is_empty() { Err("it has no nodes".into()) } else { Ok(nodes) }
}

fn json(body: &str) -> Result<Fields, String> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(body).map_err(|error| error.to_string())?;
    Ok(fields
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect())
}

/// The children of the root and their text. No document type, no entities but the five.
fn children(xml: &str) -> Result<Fields, String> {
    let mut reader = Reader::from_str(xml);
    let mut fields = Fields::new();
    let mut depth = 0_usize;
    let mut root = false;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let told = |problem: &str| format!("{problem} at byte {}", reader.buffer_position());
        match event {
            Event::Start(start) => {
                depth += 1;
                root = true;
                if depth > MAX_DEPTH {
                    return Err(told("too many elements within each other"));
                }
                if depth == 2 {
                    fields.push((start.name().as_ref().to_owned(), String::new()));
                }
            }
            Event::Empty(start) => {
                root = true;
                if depth == 1 {
                    fields.push((start.name().as_ref().to_owned(), String::new()));
                }
            }
            Event::End(_) => depth -= 1,
            Event::Text(text) => append(&mut fields, depth, &text.xml10_content()),
            Event::CData(text) => append(&mut fields, depth, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
                    append(&mut fields, depth, character.encode_utf8(&mut [0; 4]));
                } else {
                    let text = resolve_predefined_entity(&reference).ok_or_else(|| told("an entity that XML does not know"))?;
                    append(&mut fields, depth, text);
                }
            }
            Event::DocType(_) => return Err(told("a document type")),
            Event::Eof if depth > 0 || !root => return Err(told("the end came too early")),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
    for (_, value) in &mut fields {
        *value = value.trim().to_owned();
    }
    Ok(fields)
}

fn append(fields: &mut Fields, depth: usize, text: &str) {
    if depth == 2
        && let Some((_, value)) = fields.last_mut()
    {
        value.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let wanted = vec![field("dialString", "+15551230000,,12345678")];
        for (content_type, body) in [
            ("application/xml", "<?xml version=\"1.0\"?><response><dialString>+15551230000,,12345678</dialString></response>"),
            ("text/xml; charset=utf-8", "<response>\n <dialString>\n+15551230000&#44;,<![CDATA[12345678]]></dialString></response>"),
            ("", "<response><dialString>+15551230000,,12345678</dialString></response>"),
            ("application/json; charset=utf-8", "{\"dialString\":\"+15551230000,,12345678\"}"),
            ("application/x-www-form-urlencoded", "dialString=%2B15551230000%2C%2C12345678"),
        ] {
            assert_eq!(read_fields(content_type, body), Ok(wanted.clone()), "{content_type}");
        }
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        for (content_type, body) in [
            ("text/html", "<p>"),
            ("application/xml", ""),
            ("application/xml", "<response><dialString>1"),
            ("application/xml", "<!DOCTYPE r [<!ENTITY e 'x'>]><r><dialString>&e;</dialString></r>"),
            ("application/xml", "<r><dialString>&e;</dialString></r>"),
            ("application/json", "[]"),
        ] {
            assert!(read_fields(content_type, body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_account_is_its_nodes() {
        let nodes =
            read_account("<account><cth_ws_url>https://a/?u=1&amp;p=2</cth_ws_url><x-empty/><deep><in>x</in></deep></account>").unwrap();
        assert_eq!(nodes, vec![field("cth_ws_url", "https://a/?u=1&p=2"), field("x-empty", ""), field("deep", "")]);
    }
}
