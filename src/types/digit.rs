use std::fmt;

/// A key of a telephone: 0 to 9, star, hash. What it is stays out of logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// `*`
    pub const STAR: Self = Self(b'*');
    /// `#`
    pub const HASH: Self = Self(b'#');

    /// From its character.
    pub const fn new(key: char) -> Option<Self> {
        match key {
            '0'..='9' | '*' | '#' => Some(Self(key as u8)),
            _ => None,
        }
    }

    /// From the number that telephone events have for it (RFC 4733 §3.2): 10 is star, 11 hash. A to D are no keys of a telephone.
    pub const fn event(number: u8) -> Option<Self> {
        match number {
            0..=9 => Some(Self(b'0' + number)),
            10 => Some(Self::STAR),
            11 => Some(Self::HASH),
            _ => None,
        }
    }

    /// Its character.
    pub const fn as_char(self) -> char {
        self.0 as char
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digit")
    }
}

/// Digits that were keyed in, as many as a destination has at most. What they are stays out of logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digits {
    keys: [u8; Self::MOST],
    count: u8,
}

impl Digits {
    /// The most digits that are kept; more are not heard.
    pub const MOST: usize = 20;
    /// None.
    pub const NONE: Self = Self { keys: [0; Self::MOST], count: 0 };

    /// One more.
    #[must_use]
    pub fn with(mut self, digit: Digit) -> Self {
        if let Some(place) = self.keys.get_mut(usize::from(self.count)) {
            *place = digit.0;
            self.count += 1;
        }
        self
    }

    /// How many.
    pub const fn count(self) -> usize {
        self.count as usize
    }

    /// Their text, for whoever checks them.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.keys[..usize::from(self.count)]).unwrap_or_default()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} digits", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_shown() {
        let digits = "12#".chars().filter_map(Digit::new).fold(Digits::NONE, Digits::with);
        assert_eq!((digits.reveal(), digits.count(), format!("{digits:?}")), ("12#", 3, "3 digits".to_owned()));
        assert_eq!((Digit::event(11), Digit::event(12), Digit::new('A')), (Digit::new('#'), None, None));
        assert_eq!(format!("{:?}", Digit::HASH), "Digit");
        let many = (0..40).fold(Digits::NONE, |digits, _| digits.with(Digit::STAR));
        assert_eq!(many.count(), Digits::MOST);
    }
}
