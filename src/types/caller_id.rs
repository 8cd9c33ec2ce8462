use super::E164;

/// What the carrier vouches for about the caller's number (STIR/SHAKEN `verstat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Attestation {
    /// `TN-Validation-Passed`: the carrier knows the customer and the number is theirs.
    Full,
    /// `TN-Validation-Passed-B`: the carrier knows the customer, not the number.
    Partial,
    /// `TN-Validation-Passed-C`: the carrier knows only where the call came in.
    Gateway,
    /// `TN-Validation-Failed`.
    Failed,
    /// `No-TN-Validation`, or nothing said.
    #[default]
    None,
}

/// Who calls, as the carrier tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// A number, with what the carrier vouches for.
    Number(E164, Attestation),
    /// The caller withheld the number, or it cannot be read as one.
    Withheld,
}

impl CallerId {
    /// The number, unless withheld.
    pub const fn number(self) -> Option<E164> {
        match self {
            Self::Number(number, _) => Some(number),
            Self::Withheld => None,
        }
    }
}
