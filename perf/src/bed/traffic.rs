//! Sizes of inner IP packets: fixed ones, and a mixture (IMIX).

use anyhow::Result;

/// Sizes of the packets of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Traffic {
    /// All of this many bytes.
    Fixed(u16),
    /// Seven of 64, four of 576, one of 1400 bytes: the usual simple IMIX, whose 1500 bytes would not fit into a tunnel over a path of 1500.
    Imix,
}

/// In the order in which they are sent.
const IMIX_BYTES: [u16; 12] = [64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576];
/// After so many packets the sizes repeat in the same places of bursts of 32 and of 64.
pub(crate) const ROUND_PACKETS: usize = 192;

impl Traffic {
    /// Everything that a full run measures.
    pub(crate) const ALL: [Self; 7] = [
        Self::Fixed(64),
        Self::Fixed(128),
        Self::Fixed(256),
        Self::Fixed(512),
        Self::Fixed(1024),
        Self::Fixed(1400),
        Self::Imix,
    ];
    /// What a quick run measures.
    pub(crate) const QUICK: [Self; 3] = [Self::Fixed(64), Self::Fixed(1400), Self::Imix];

    /// The name in tables: a number of bytes, or the mixture.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Fixed(bytes) => bytes.to_string(),
            Self::Imix => "imix".to_owned(),
        }
    }

    /// Bytes of the `number`th packet.
    pub(crate) fn bytes_of(self, number: usize) -> u16 {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Imix => IMIX_BYTES[number % IMIX_BYTES.len()],
        }
    }

    /// Bytes of the mean packet.
    pub(crate) fn mean_bytes(self) -> u16 {
        match self {
            Self::Fixed(bytes) => bytes,
            // 4152 bytes in 12 packets.
            Self::Imix => 346,
        }
    }

    /// Reads `64` or `imix`, for the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(bytes @ 64..=1400) => Ok(Self::Fixed(bytes)),
            _ if text.eq_ignore_ascii_case("imix") => Ok(Self::Imix),
            _ => Err(format!("'{text}' is neither 'imix' nor a number of bytes from 64 to 1400")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imix_is_seven_small_four_middle_one_large() {
        let mut counts = std::collections::BTreeMap::new();
        for number in 0..ROUND_PACKETS {
            *counts.entry(Traffic::Imix.bytes_of(number)).or_insert(0) += 1;
        }
        assert_eq!(counts, [(64, 7 * 16), (576, 4 * 16), (1400, 16)].into());
    }

    #[test]
    fn mean_is_that_of_the_packets() {
        for traffic in Traffic::ALL {
            let sum: u32 = (0..ROUND_PACKETS).map(|number| u32::from(traffic.bytes_of(number))).sum();
            assert_eq!(sum, u32::from(traffic.mean_bytes()) * u32::try_from(ROUND_PACKETS).expect("small"));
        }
    }

    #[test]
    fn sizes_are_read_and_others_refused() {
        assert_eq!(Traffic::parse("IMIX"), Ok(Traffic::Imix));
        assert_eq!(Traffic::parse("1024"), Ok(Traffic::Fixed(1024)));
        assert!(
            Traffic::parse("63").is_err() && Traffic::parse("1401").is_err() && Traffic::parse("x").is_err()
        );
    }
}
