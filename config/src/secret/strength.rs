//! How hard a key is to guess, by a crude lower estimate: random keys pass with room to spare, patterns and words do not.

use zeroize::Zeroizing;

/// Whether the key is a word that stands for a key, in any spelling, with nothing of worth around it.
pub(super) fn is_placeholder(key: &[u8]) -> bool {
    let mut rest = Zeroizing::new(key.iter().copied().map(plain).collect::<Vec<u8>>());
    let mut found = false;
    for word in WORDS {
        while let Some(at) = find(&rest, word.as_bytes()) {
            rest.drain(at..at + word.len());
            found = true;
        }
    }
    found && estimate_bits(&rest) < super::STRENGTH_MIN_BITS
}

/// A lower estimate of the key's entropy, in bits: what is left after runs (`aaaa`, `4321`) and repetitions (`abcabc`),
/// times Shannon's entropy of its characters.
pub(super) fn estimate_bits(key: &[u8]) -> f64 {
    let key = without_repetition(key);
    let mut counts = [0_u32; 256];
    let mut total = 0_u32;
    for (index, byte) in key.iter().enumerate() {
        let continues_run = index >= 2
            && byte.wrapping_sub(key[index - 1]) == key[index - 1].wrapping_sub(key[index - 2])
            && matches!(byte.wrapping_sub(key[index - 1]), 0 | 1 | 255);
        if !continues_run {
            counts[usize::from(*byte)] += 1;
            total += 1;
        }
    }
    let total = f64::from(total);
    let share = |count: &u32| f64::from(*count) / total;
    let per_character: f64 =
        counts.iter().filter(|count| **count > 0).map(|c| -share(c) * share(c).log2()).sum();
    per_character * total
}

/// The part of `key` that the rest repeats.
fn without_repetition(key: &[u8]) -> &[u8] {
    let repeats = |period: &usize| key.iter().zip(&key[*period..]).all(|(a, b)| a == b);
    let period = (1..=key.len() / 2).find(repeats);
    &key[..period.unwrap_or(key.len())]
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// Lower case, without the digits and signs that people write for letters.
fn plain(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        b'0' => b'o',
        b'1' | b'!' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        other => other,
    }
}

/// Words of manuals and of habit; spelled as [`plain`] spells.
const WORDS: &[&str] = &[
    "changeme",
    "changethis",
    "change",
    "replaceme",
    "replace",
    "placeholder",
    "example",
    "presharedkey",
    "preshared",
    "sharedkey",
    "shared",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "private",
    "default",
    "testing",
    "test",
    "crossgate",
    "ipsec",
    "azure",
    "tunnel",
    "gateway",
    "vpngw",
    "vpn",
    "your",
    "insert",
    "please",
    "here",
    "with",
    "qwertyuiop",
    "qwerty",
    "asdfghjkl",
    "zxcvbnm",
    "letmein",
    "welcome",
    "admin",
    "cisco",
    "site",
    "psk",
    "key",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::STRENGTH_MIN_BITS;

    #[test]
    fn random_keys_are_strong_in_every_common_alphabet() {
        for key in [
            "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mAeUiXoQ6K4W8=",
            "9f3a61c7e0b24d8f5ac1",
            "c2f7d1a09b3e6485c2d9f7b16e0a3d58",
            "correct-horse-battery-staple-9",
            "Xk9mQ2vL7pR4wT8zB3nF",
        ] {
            assert!(estimate_bits(key.as_bytes()) >= STRENGTH_MIN_BITS, "{key}");
            assert!(!is_placeholder(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn patterns_are_weak() {
        for key in [
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz",
            "98765432109876543210",
            "abcabcabcabcabcabcabcabc",
            "Xk9mQXk9mQXk9mQXk9mQXk9mQ",
        ] {
            assert!(estimate_bits(key.as_bytes()) < STRENGTH_MIN_BITS, "{key}");
        }
        assert!(estimate_bits(b"").abs() < f64::EPSILON);
    }

    #[test]
    fn words_of_manuals_are_placeholders_in_any_spelling() {
        for key in [
            "changeme-changeme-changeme",
            "Ch4ng3Me-Pr3Sh4r3dK3y",
            "YOUR_PRE_SHARED_KEY_HERE",
            "insert-password-here!",
            "my-super-secret-vpn-psk",
        ] {
            assert!(is_placeholder(key.as_bytes()), "{key}");
        }
    }
}
