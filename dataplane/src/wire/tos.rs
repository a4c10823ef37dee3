//! The two halves of a TOS byte / traffic class: DSCP and ECN.

use core::fmt;
use core::str::FromStr;

use super::ids::{IdError, id_common};

/// A differentiated services code point, 6 bits (RFC 2474). Written by name (`ef`, `af41`, `cs5`) where it has one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dscp(u8);

/// The named code points (RFC 2474, 2597, 3246, 5865, 8622).
#[rustfmt::skip]
const DSCP_NAMES: [(u8, &str); 23] = [
    (0, "cs0"), (1, "le"), (8, "cs1"), (10, "af11"), (12, "af12"), (14, "af13"), (16, "cs2"), (18, "af21"), (20, "af22"),
    (22, "af23"), (24, "cs3"), (26, "af31"), (28, "af32"), (30, "af33"), (32, "cs4"), (34, "af41"), (36, "af42"),
    (38, "af43"), (40, "cs5"), (44, "voice-admit"), (46, "ef"), (48, "cs6"), (56, "cs7"),
];

impl Dscp {
    /// Lowest.
    pub const MIN: u32 = 0;
    /// Highest.
    pub const MAX: u32 = 63;
    /// Best effort.
    pub const DEFAULT: Self = Self(0);
    /// Expedited forwarding (RFC 3246).
    pub const EF: Self = Self(46);

    /// A code point from its number.
    pub const fn new(value: u32) -> Result<Self, IdError> {
        if value <= Self::MAX {
            Ok(Self(value as u8))
        } else {
            Err(Self::out_of_range(value))
        }
    }

    /// The code point of a TOS byte / traffic class.
    #[inline]
    pub const fn from_tos(tos: u8) -> Self {
        Self(tos >> 2)
    }

    /// The TOS byte / traffic class made of this code point and `ecn`.
    #[inline]
    pub const fn with_ecn(self, ecn: Ecn) -> u8 {
        self.0 << 2 | ecn as u8
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

id_common!(Dscp, "DSCP");

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DSCP_NAMES.iter().find(|(value, _)| *value == self.0) {
            Some((_, name)) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl FromStr for Dscp {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match DSCP_NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            Some((value, _)) => Ok(Self(*value)),
            None => Self::parse_number(text),
        }
    }
}

/// The ECN field: the low 2 bits of a TOS byte / traffic class (RFC 3168).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not understand ECN.
    #[default]
    NotEct = 0,
    /// ECN-capable transport, 1.
    Ect1 = 1,
    /// ECN-capable transport, 0.
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The ECN field of a TOS byte / traffic class.
    #[inline]
    pub const fn from_tos(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

impl fmt::Display for Ecn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotEct => "not-ect",
            Self::Ect1 => "ect1",
            Self::Ect0 => "ect0",
            Self::Ce => "ce",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dscp_by_number_and_name() {
        assert!(Dscp::new(63).is_ok() && Dscp::new(64).is_err());
        for value in 0..64 {
            let dscp = Dscp::new(value).unwrap();
            assert_eq!(dscp.to_string().parse(), Ok(dscp));
            assert_eq!(value.to_string().parse(), Ok(dscp));
        }
        assert_eq!("EF".parse(), Ok(Dscp::EF));
        assert_eq!(
            "af5".parse::<Dscp>().unwrap_err().to_string(),
            "not a valid DSCP: it is a number from 0 to 63"
        );
    }

    #[test]
    fn a_byte_is_both() {
        assert_eq!(Dscp::EF.with_ecn(Ecn::Ce), 0xbb);
        for tos in 0..=255 {
            assert_eq!(Dscp::from_tos(tos).with_ecn(Ecn::from_tos(tos)), tos);
        }
    }
}
