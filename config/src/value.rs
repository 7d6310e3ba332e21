//! Single values of the file: what is expected, what came instead, what to write.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::choice::Choice;
use crate::identity::Identity;
use crate::name::Name;
use crate::prefix::{InterfaceAddress, address_flaw, prefix_flaw};
use crate::report::{alternatives, did_you_mean};

/// Why a value cannot be taken.
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

/// A type that one value of the file can be read as.
pub(crate) trait Value: Sized {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong>;
}

/// The value is of another type than `expected`, which `example` shows.
pub(crate) fn wrong_type(expected: &str, value: &DeValue<'_>, example: &str) -> Wrong {
    let article = if value.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
    Wrong {
        problem: format!("expected {expected}, found {article} {}", value.type_str()),
        remedy: format!("write it like {example}"),
    }
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(|| wrong_type("a string", value, "\"text\""))?;
        Ok(text.to_owned())
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| wrong_type("true or false", value, "true"))
    }
}

impl Value for u64 {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let integer = value
            .as_integer()
            .ok_or_else(|| wrong_type("an integer", value, "a plain number, without quotes and point"))?;
        Self::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| Wrong {
            problem: format!("{integer} is out of range"),
            remedy: "write an integer that is not negative".into(),
        })
    }
}

impl Value for Name {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let text = value.as_str().ok_or_else(|| wrong_type("a name", value, "\"site-a\""))?;
        Self::new(text).ok_or_else(|| Wrong {
            problem: format!("{text:?} is not a name"),
            remedy:
                "take 1 to 80 letters, digits, \"-\", \"_\" and \".\", beginning with a letter or a digit"
                    .into(),
        })
    }
}

impl Value for IpAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"192.0.2.1\" or \"2001:db8::1\"";
        let text = value.as_str().ok_or_else(|| wrong_type("an IP address", value, example))?;
        let address: Self = text.parse().map_err(|_| Wrong {
            problem: format!("{text:?} is not an IP address"),
            remedy: format!("write it like {example}, without a prefix length"),
        })?;
        match address_flaw(address) {
            None => Ok(address),
            Some(flaw) => Err(Wrong {
                problem: format!("{address} is {flaw}"),
                remedy: "write the address of one host".into(),
            }),
        }
    }
}

impl Value for IpNet {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"10.1.0.0/16\" or \"2001:db8:1::/48\"";
        let text = value.as_str().ok_or_else(|| wrong_type("a prefix", value, example))?;
        let prefix: Self = text.parse().map_err(|_| Wrong {
            problem: format!("{text:?} is not a prefix"),
            remedy: format!("write it like {example}"),
        })?;
        if prefix != prefix.trunc() {
            return Err(Wrong {
                problem: format!(
                    "{prefix} is the address of a host, not a prefix: bits beyond /{} are set",
                    prefix.prefix_len()
                ),
                remedy: format!("did you mean \"{}\"?", prefix.trunc()),
            });
        }
        match prefix_flaw(prefix) {
            None => Ok(prefix),
            Some(flaw) => Err(Wrong {
                problem: format!("{prefix} holds {flaw}"),
                remedy: "take prefixes of unicast addresses that are routed".into(),
            }),
        }
    }
}

impl Value for InterfaceAddress {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"192.0.2.1/24\" or \"2001:db8::1/64\"";
        let text =
            value.as_str().ok_or_else(|| wrong_type("an address with its prefix length", value, example))?;
        let net: IpNet = text.parse().map_err(|_| Wrong {
            problem: format!("{text:?} is not an address with its prefix length"),
            remedy: format!("write it like {example}"),
        })?;
        let interface = Self { address: net.addr(), network: net.trunc() };
        let flaw = address_flaw(interface.address).or_else(|| interface.flaw());
        match flaw {
            None => Ok(interface),
            Some(flaw) => Err(Wrong {
                problem: format!("{net} is {flaw}"),
                remedy: format!("write an address of the gateway itself, like {example}"),
            }),
        }
    }
}

impl Value for Identity {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"192.0.2.1\", \"gw.example.net\", \"ops@example.net\" or \"keyid:branch-7\"";
        let text = value.as_str().ok_or_else(|| wrong_type("an identity", value, example))?;
        Self::parse(text).ok_or_else(|| Wrong {
            problem: format!("{text:?} is not an identity"),
            remedy: format!("write it like {example}"),
        })
    }
}

impl<T: Choice> Value for T {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        // The first word of a value stands for it; the others are spellings.
        let mut main: Vec<(&str, Self)> = Vec::new();
        for (word, choice) in Self::WORDS {
            if choice.weakness().is_none() && !main.iter().any(|(_, known)| known == choice) {
                main.push((word, *choice));
            }
        }
        let listed = alternatives(main.iter().map(|(word, _)| *word));
        let text = value.as_str().ok_or_else(|| wrong_type("a word", value, &listed))?;
        if let Some((_, choice)) = Self::WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        if let Some((word, problem, remedy)) = Self::REFUSED.iter().find(|(word, _, _)| *word == text) {
            return Err(Wrong {
                problem: format!("\"{word}\" is refused: {problem}"),
                remedy: (*remedy).into(),
            });
        }
        let meant = did_you_mean(text, Self::WORDS.iter().map(|(word, _)| *word));
        Err(Wrong {
            problem: format!("{text:?} is not a word that this key takes"),
            remedy: match meant {
                None => format!("write {listed}"),
                Some(meant) if listed == format!("{meant:?}") => format!("did you mean {listed}?"),
                Some(meant) => format!("did you mean \"{meant}\"? Else write {listed}"),
            },
        })
    }
}
