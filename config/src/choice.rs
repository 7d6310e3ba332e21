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

    /// The word that stands for this value.
    ///
    /// # Panics
    /// Never for the enums of this crate: a test asks each of them for each value.
    fn word(self) -> &'static str {
        let entry = Self::WORDS.iter().find(|(_, value)| *value == self);
        entry.expect("every value has a word").0
    }
}
