//! Sizes of packets: one, or a mix as the Internet has it (IMIX).

use std::{fmt, str::FromStr};

/// Longest turn of a mix, packets: weights are shares of it.
const MOST_PACKETS: u64 = 10_000;

/// Sizes with their weights. Sizes are bytes of a frame without check sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Vec<(usize, u64)>);

/// A text that is no mix of sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizesError {
    /// Cannot be read.
    #[error("not a mix of sizes: write simple, or sizes with weights like 64:7,594:4,1514:1")]
    Text,
    /// Weights are too large.
    #[error("the weights add up to more than {MOST_PACKETS}: divide them by what they have in common")]
    Weights,
}

impl Sizes {
    /// Always this size.
    pub fn one(size: usize) -> Self {
        Self(vec![(size, 1)])
    }

    /// Simple IMIX: of twelve packets seven are of 40, four of 576 and one of 1500 bytes of IP. The smallest are padded by
    /// Ethernet anyway.
    pub fn simple_imix() -> Self {
        Self(vec![(60, 7), (590, 4), (1514, 1)])
    }

    /// Sizes below this one become it: for packets whose headers need more.
    #[must_use]
    pub fn at_least(mut self, least: usize) -> Self {
        self.0.iter_mut().for_each(|(size, _)| *size = (*size).max(least));
        self
    }

    /// The different sizes.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(size, _)| *size)
    }

    /// The order in which the sizes (by their number) come, for ever again: as evenly spread as can be, the smooth weighted
    /// round-robin of load balancers.
    pub fn turn(&self) -> Vec<u16> {
        let total: i64 = self.0.iter().map(|(_, weight)| *weight as i64).sum();
        let mut credits = vec![0i64; self.0.len()];
        let mut turn = Vec::new();
        for _ in 0..total {
            for (credit, (_, weight)) in credits.iter_mut().zip(&self.0) {
                *credit += *weight as i64;
            }
            // The first of the richest.
            let richest = credits.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit);
            if let Some((number, credit)) = richest {
                *credit -= total;
                turn.push(number as u16);
            }
        }
        turn
    }
}

impl FromStr for Sizes {
    type Err = SizesError;

    fn from_str(text: &str) -> Result<Self, SizesError> {
        if text == "simple" {
            return Ok(Self::simple_imix());
        }
        let entry = |entry: &str| {
            let (size, weight) = entry.split_once(':')?;
            let weight = weight.parse().ok().filter(|weight| *weight > 0)?;
            Some((size.parse().ok()?, weight))
        };
        let sizes: Option<Vec<(usize, u64)>> = text.split(',').map(entry).collect();
        let sizes = sizes.ok_or(SizesError::Text)?;
        let total = sizes.iter().fold(0u64, |sum, (_, weight)| sum.saturating_add(*weight));
        if total > MOST_PACKETS {
            return Err(SizesError::Weights);
        }
        Ok(Self(sizes))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(size, _)] = self.0.as_slice() {
            return write!(f, "{size}");
        }
        for (number, (size, weight)) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{size}:{weight}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_simple_mix_is_spread_evenly() {
        let simple: Sizes = "simple".parse().unwrap();
        let turn = simple.turn();
        assert_eq!(turn.len(), 12);
        let count = |number| turn.iter().filter(|n| **n == number).count();
        assert_eq!((count(0), count(1), count(2)), (7, 4, 1));
        assert!(
            !turn.windows(3).any(|w| w == [0, 0, 0]),
            "not the small ones first: {turn:?}"
        );
        assert_eq!(simple.to_string(), "60:7,590:4,1514:1");
        assert_eq!(simple.at_least(80).sizes().collect::<Vec<_>>(), [80, 590, 1514]);
        assert_eq!(Sizes::one(64).turn(), [0]);
    }

    #[test]
    fn says_what_is_wrong() {
        for bad in ["", "64", "64:0", "64:1,", "x:1", "64:-1", "64:1;128:1"] {
            assert_eq!(bad.parse::<Sizes>(), Err(SizesError::Text), "{bad}");
        }
        assert_eq!("64:5000,65:5001".parse::<Sizes>(), Err(SizesError::Weights));
        assert_eq!(
            "64:18446744073709551615,65:1".parse::<Sizes>(),
            Err(SizesError::Weights)
        );
    }

    proptest! {
        #[test]
        fn each_size_comes_as_often_as_its_weight(weights in prop::collection::vec(1u64..50, 1..6)) {
            let sizes = Sizes(weights.iter().enumerate().map(|(n, weight)| (n, *weight)).collect());
            let turn = sizes.turn();
            for (n, weight) in weights.iter().enumerate() {
                let count = turn.iter().filter(|number| usize::from(**number) == n).count() as u64;
                prop_assert_eq!(count, *weight);
            }
        }
    }
}
