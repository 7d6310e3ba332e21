//! Settings that take one of a few words: the words, what they mean, and the words that are known but refused.
//!
//! Each such setting is an enum that implements [`Choice`]; `document` reads it and makes the findings. The words are
//! Azure's wherever Azure has one.

/// An enum that a configuration names by a word.
pub trait Choice: Copy + PartialEq + Sized + 'static {
    /// Every accepted word; the first word of a value is the one it is printed with.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that mean something elsewhere and are refused here, with what is wrong and what to do.
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[];

    /// Values that are taken where a policy names them, with a warning: what is wrong with them, and what to do. They are not suggested.
    const WEAK: &'static [(Self, &'static str, &'static str)] = &[];

    /// Why this value is weak, and what to do, if it is.
    fn weakness(self) -> Option<(&'static str, &'static str)> {
        Self::WEAK.iter().find(|(weak, _, _)| *weak == self).map(|(_, problem, remedy)| (*problem, *remedy))
    }

    /// The word that stands for this value.
    ///
    /// # Panics
    /// If [`Self::WORDS`] lacks the value, which no enum of this crate does.
    fn word(self) -> &'static str {
        let entry = Self::WORDS.iter().find(|(_, value)| *value == self);
        entry.expect("every value has a word").0
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::Choice;
    use crate::appliance::{Idle, Memory};
    use crate::connection::{ConnectionMode, ConnectionType, Start};
    use crate::gateway::{GatewayType, VpnType};
    use crate::nat_rule::{NatMode, NatType};
    use crate::policy::algorithm::{
        DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, PfsWord,
    };
    use crate::policy::{AdditionalKeyExchange, Esn};
    use crate::sku::Sku;

    /// Each value that a word stands for has a word that stands for it, and no word stands for two things.
    fn words_are_sound<T: Choice + Debug>() {
        for (word, value) in T::WORDS {
            let shown = value.word();
            assert!(T::WORDS.iter().any(|(w, v)| *w == shown && v == value), "{word} is shown as {shown}");
            assert_eq!(T::WORDS.iter().filter(|(w, _)| w == word).count(), 1, "{word}");
            assert!(T::REFUSED.iter().all(|(refused, _, _)| refused != word), "{word} is taken and refused");
        }
    }

    #[test]
    fn no_word_stands_for_two_things() {
        words_are_sound::<Idle>();
        words_are_sound::<Memory>();
        words_are_sound::<ConnectionType>();
        words_are_sound::<ConnectionMode>();
        words_are_sound::<Start>();
        words_are_sound::<GatewayType>();
        words_are_sound::<VpnType>();
        words_are_sound::<Sku>();
        words_are_sound::<NatMode>();
        words_are_sound::<NatType>();
        words_are_sound::<Esn>();
        words_are_sound::<AdditionalKeyExchange>();
        words_are_sound::<IkeEncryption>();
        words_are_sound::<IkeIntegrity>();
        words_are_sound::<DhGroup>();
        words_are_sound::<PfsGroup>();
        words_are_sound::<PfsWord>();
        words_are_sound::<IpsecEncryption>();
        words_are_sound::<IpsecIntegrity>();
    }
}
