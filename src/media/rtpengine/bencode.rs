//! Bencoding, as far as rtpengine speaks it: byte strings, whole numbers, lists and dictionaries.

use std::collections::BTreeMap;

/// The deepest nesting that is read.
const DEEPEST: u8 = 16;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Bytes, mostly text.
    Text(Vec<u8>),
    /// A whole number.
    Number(i64),
    /// Values in order.
    List(Vec<Value>),
    /// Values by their names.
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl Value {
    /// A dictionary of these.
    pub fn dictionary<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Dictionary(entries.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value)).collect())
    }

    /// A list of words.
    pub fn words(words: &[&str]) -> Self {
        Self::List(words.iter().map(|&word| word.into()).collect())
    }

    /// What a dictionary has by this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(entries) => entries.get(name.as_bytes()),
            _ => None,
        }
    }

    /// The bytes of a text.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// As it goes on the wire.
    pub fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Text(bytes) => write_text(bytes, to),
            Self::Number(number) => to.extend(format!("i{number}e").bytes()),
            Self::List(values) => {
                to.push(b'l');
                for value in values {
                    value.encode(to);
                }
                to.push(b'e');
            }
            Self::Dictionary(entries) => {
                to.push(b'd');
                for (name, value) in entries {
                    write_text(name, to);
                    value.encode(to);
                }
                to.push(b'e');
            }
        }
    }

    /// Reads one value and nothing after it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let value = read(&mut rest, 0)?;
        rest.is_empty().then_some(value)
    }
}

fn write_text(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend(format!("{}:", bytes.len()).bytes());
    to.extend(bytes);
}

fn read(rest: &mut &[u8], depth: u8) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    match rest.first()? {
        b'i' => {
            let end = rest.iter().position(|byte| *byte == b'e')?;
            let number = std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()?;
            *rest = &rest[end + 1..];
            Some(Value::Number(number))
        }
        b'l' => {
            *rest = &rest[1..];
            let mut values = Vec::new();
            while !ends(rest)? {
                values.push(read(rest, depth + 1)?);
            }
            Some(Value::List(values))
        }
        b'd' => {
            *rest = &rest[1..];
            let mut entries = BTreeMap::new();
            while !ends(rest)? {
                let name = read_text(rest)?;
                entries.insert(name, read(rest, depth + 1)?);
            }
            Some(Value::Dictionary(entries))
        }
        _ => read_text(rest).map(Value::Text),
    }
}

/// Whether a list or dictionary ends here; then its end is taken.
fn ends(rest: &mut &[u8]) -> Option<bool> {
    let over = *rest.first()? == b'e';
    if over {
        *rest = &rest[1..];
    }
    Some(over)
}

fn read_text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let colon = rest.iter().take(8).position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&rest[..colon]).ok().filter(|digits| !digits.starts_with('+'))?.parse().ok()?;
    let text = rest.get(colon + 1..)?.get(..length)?.to_vec();
    *rest = &rest[colon + 1 + length..];
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = Value::dictionary([
            ("sdp", "v=0\r\n".into()),
            ("replace", Value::words(&["origin", "session-connection"])),
            ("created", Value::Number(-7)),
        ]);
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), "d7:createdi-7e7:replacel6:origin18:session-connectione3:sdp5:v=0\r\ne");
        assert_eq!(Value::parse(&bytes), Some(value));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "5:abc", "i12", "ie", "l", "d3:keye", "le5", "+1:a", "99999999999:a", "d1:a"] {
            assert_eq!(Value::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Value::parse(&[b'l'; 100]), None, "too deep");
    }

    #[test]
    fn names_lead_to_values() {
        let value = Value::parse(b"d6:result2:ok3:sdp3:abce").unwrap();
        assert_eq!((value.get("result").and_then(Value::text), value.get("sdp").and_then(Value::bytes)), (Some("ok"), Some(&b"abc"[..])));
        assert_eq!((value.get("x"), Value::Number(1).get("x"), Value::Number(1).text()), (None, None, None));
    }
}
