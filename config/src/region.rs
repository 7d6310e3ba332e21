//! Regions: where networks are, by the cloud's names or by one's own. No packet goes another way because of them; networks of clouds that are kept apart from each other are not
//! connected.

use std::fmt;

use toml::de::DeValue;

use crate::value::{Value, Wrong, wrong_type};

/// A region, in lower case without blanks: `West Europe` and `westeurope` are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

/// Clouds of one provider that are kept apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// The public one, and regions of one's own.
    Public,
    /// Of the United States' government.
    UsGovernment,
    /// In China.
    China,
    /// The former one in Germany.
    Germany,
}

/// How the regions of clouds that are kept apart begin.
const APART: &[(&str, Cloud)] = &[
    ("usgov", Cloud::UsGovernment),
    ("usdod", Cloud::UsGovernment),
    ("china", Cloud::China),
    ("germanycentral", Cloud::Germany),
    ("germanynortheast", Cloud::Germany),
];

impl Region {
    /// From a name in either spelling; `None` if it is none: 1 to 60 letters, digits and hyphens, beginning with a letter.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let name: String =
            text.chars().filter(|c| *c != ' ').map(|character| character.to_ascii_lowercase()).collect();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_name = (1..=NAME_MAX).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(fits);
        is_name.then_some(Self(name))
    }

    /// The cloud that it is of.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        let apart = APART.iter().find(|(begin, _)| self.0.starts_with(begin));
        apart.map_or(Cloud::Public, |(_, cloud)| *cloud)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "the public cloud",
            Self::UsGovernment => "the cloud of the US government",
            Self::China => "the cloud in China",
            Self::Germany => "the cloud in Germany",
        })
    }
}

impl Value for Region {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(|| wrong_type("a region", value, "\"westeurope\""))?;
        Self::new(text).ok_or_else(|| Wrong {
            problem: format!("{text:?} is not the name of a region"),
            remedy: "take 1 to 60 letters, digits and \"-\", beginning with a letter, such as \"westeurope\""
                .into(),
        })
    }
}

const NAME_MAX: usize = 60;
