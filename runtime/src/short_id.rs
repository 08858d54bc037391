//! Ids as the service has them: short, of small letters and digits.

use sha2::{Digest as _, Sha256};

/// `N` characters, the same for the same text.
pub fn short_id<const N: usize>(text: &str) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    // There are no more bytes than these.
    const { assert!(N <= 32) };
    let digest = Sha256::digest(text.as_bytes());
    let char = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    digest.iter().take(N).map(char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Clients remember them over restarts and new versions.
    #[test]
    fn ids_stay_the_same() {
        assert_eq!(short_id::<6>("/pets/{id}"), "ydrk0r");
        assert_eq!(short_id::<10>("api key partner"), "w4zmw2da5b");
    }
}
