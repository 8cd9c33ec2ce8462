//! Which passwords people may choose. How they are hashed is the subscribers' rule too (`subscriber/credential.rs`).

use super::PeopleError;

/// Fewest characters.
pub const SHORTEST: usize = 12;
/// Most bytes.
pub const LONGEST: usize = 256;
/// Fewest different characters.
const VARIETY: usize = 5;

/// Lets the password go on only if it is long, varied, and not the name.
pub fn check(password: &str, login: &str) -> Result<(), PeopleError> {
    let folded = password.to_lowercase();
    let mut letters: Vec<char> = folded.chars().collect();
    let count = letters.len();
    letters.sort_unstable();
    letters.dedup();
    let local = login.split('@').next().unwrap_or_default();
    if count < SHORTEST {
        Err(PeopleError::Password("Choose a password of at least 12 characters; a few words in a row are easy to keep in mind."))
    } else if count > LONGEST || password.chars().any(char::is_control) {
        Err(PeopleError::Password("Choose a password of at most 256 characters, without control characters."))
    } else if letters.len() < VARIETY {
        Err(PeopleError::Password("The password repeats too few characters. Choose one with at least five different ones."))
    } else if local.len() >= 4 && folded.contains(local) {
        Err(PeopleError::Password("The password contains the name. Choose one that does not."))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_varied_is_enough() {
        assert!(check("correct horse battery", "ann@example.com").is_ok());
        assert!(check("žluťoučký kůň", "ann").is_ok());
        for wrong in ["short", "aaaaaaaaaaaaaaaaaa", "1212121212121212", "margaret-margaret", &"x".repeat(300)] {
            assert!(check(wrong, "margaret@example.com").is_err(), "{wrong}");
        }
    }
}
