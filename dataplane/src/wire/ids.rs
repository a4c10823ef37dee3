//! Small numbers of the field which cannot hold an illegal value: VNI, MPLS label, VLAN id. (DSCP and ECN: see `tos`.)

use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};
use core::str::FromStr;

/// A number, or a text, that is not such an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The number lies outside the range.
    #[error("{what} {value} is out of range: it must be from {min} to {max}")]
    OutOfRange {
        /// Which identifier.
        what: &'static str,
        /// The number given.
        value: u32,
        /// Lowest legal value.
        min: u32,
        /// Highest legal value.
        max: u32,
    },
    /// The text is not a (32-bit, decimal) number, nor a name that stands for one.
    #[error("not a valid {what}: it is a number from {min} to {max}")]
    NotANumber {
        /// Which identifier.
        what: &'static str,
        /// Lowest legal value.
        min: u32,
        /// Highest legal value.
        max: u32,
    },
}

/// What all identifiers share: range, text form, conversions.
macro_rules! id_common {
    ($name:ident, $what:literal) => {
        impl $name {
            const fn out_of_range(value: u32) -> IdError {
                IdError::OutOfRange {
                    what: $what,
                    value,
                    min: Self::MIN,
                    max: Self::MAX,
                }
            }

            fn parse_number(text: &str) -> Result<Self, IdError> {
                let bad = IdError::NotANumber {
                    what: $what,
                    min: Self::MIN,
                    max: Self::MAX,
                };
                // `u32::from_str` takes a leading plus sign, people's identifiers do not.
                if !text.bytes().all(|c| c.is_ascii_digit()) {
                    return Err(bad);
                }
                Self::new(text.parse().map_err(|_| bad)?)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = IdError;

            fn try_from(value: u32) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for u32 {
            fn from(id: $name) -> u32 {
                id.get()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.get())
            }
        }
    };
}

/// Text form: the plain decimal number.
macro_rules! id_decimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.get(), f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse_number(text)
            }
        }
    };
}

pub(super) use id_common;

/// A VXLAN network identifier, 1 to 2^24 - 1 (RFC 7348). Zero is legal on the wire but never handed out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(NonZeroU32);

impl Vni {
    /// Lowest.
    pub const MIN: u32 = 1;
    /// Highest.
    pub const MAX: u32 = (1 << 24) - 1;

    /// A VNI from its number.
    pub const fn new(value: u32) -> Result<Self, IdError> {
        match NonZeroU32::new(value) {
            Some(vni) if value <= Self::MAX => Ok(Self(vni)),
            _ => Err(Self::out_of_range(value)),
        }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

id_common!(Vni, "VNI");
id_decimal!(Vni);

/// An MPLS label, 20 bits (RFC 3032).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(u32);

impl Label {
    /// Lowest.
    pub const MIN: u32 = 0;
    /// Highest.
    pub const MAX: u32 = (1 << 20) - 1;
    /// IPv4 explicit null (RFC 3032).
    pub const IPV4_EXPLICIT_NULL: Self = Self(0);
    /// Router alert (RFC 3032).
    pub const ROUTER_ALERT: Self = Self(1);
    /// IPv6 explicit null (RFC 3032).
    pub const IPV6_EXPLICIT_NULL: Self = Self(2);
    /// Implicit null: signalled, never on the wire (RFC 3032).
    pub const IMPLICIT_NULL: Self = Self(3);
    /// First label that is not a special-purpose one (RFC 7274): the first that may be bound to a next hop or a VRF.
    pub const FIRST_UNRESERVED: Self = Self(16);

    /// A label from its number.
    pub const fn new(value: u32) -> Result<Self, IdError> {
        if value <= Self::MAX {
            Ok(Self(value))
        } else {
            Err(Self::out_of_range(value))
        }
    }

    /// The label in the top 20 bits of a label stack entry (any 32 bits hold one).
    #[inline]
    pub const fn from_entry(entry: u32) -> Self {
        Self(entry >> 12)
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// One of the special-purpose labels 0 to 15 (RFC 7274).
    #[inline]
    pub const fn is_reserved(self) -> bool {
        self.0 < Self::FIRST_UNRESERVED.0
    }
}

id_common!(Label, "MPLS label");
id_decimal!(Label);

/// An IEEE 802.1Q VLAN id, 1 to 4094. Id 0 (priority tag) means "no VLAN" and 4095 is reserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(NonZeroU16);

impl VlanId {
    /// Lowest.
    pub const MIN: u32 = 1;
    /// Highest.
    pub const MAX: u32 = 4094;

    /// A VLAN id from its number.
    pub const fn new(value: u32) -> Result<Self, IdError> {
        if value > Self::MAX {
            return Err(Self::out_of_range(value));
        }
        match NonZeroU16::new(value as u16) {
            Some(id) => Ok(Self(id)),
            None => Err(Self::out_of_range(value)),
        }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0.get() as u32
    }

    /// The number, as it stands in the low 12 bits of a tag.
    #[inline]
    pub const fn get_u16(self) -> u16 {
        self.0.get()
    }
}

id_common!(VlanId, "VLAN id");
id_decimal!(VlanId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert!(Vni::new(0).is_err() && Vni::new(1).is_ok());
        assert_eq!(Vni::new(16_777_215).map(Vni::get), Ok(16_777_215));
        assert_eq!(
            Vni::new(1 << 24).unwrap_err().to_string(),
            "VNI 16777216 is out of range: it must be from 1 to 16777215"
        );
        assert!(Label::new(0).is_ok() && Label::new(1_048_575).is_ok() && Label::new(1_048_576).is_err());
        assert!(VlanId::new(0).is_err() && VlanId::new(4094).is_ok() && VlanId::new(4095).is_err());
        assert!(VlanId::new(0x1_0001).is_err(), "no silent cut to 16 bits");
        assert_eq!(size_of::<Option<VlanId>>(), 2);
        assert_eq!(size_of::<Option<Vni>>(), 4);
        assert!(Label::IMPLICIT_NULL.is_reserved() && !Label::FIRST_UNRESERVED.is_reserved());
    }

    #[test]
    fn texts() {
        assert_eq!("5000".parse::<Vni>(), Vni::new(5000));
        for bad in ["", "+1", "-1", "0x10", " 1", "4294967296"] {
            assert!(bad.parse::<Vni>().is_err(), "{bad}");
        }
        assert_eq!(
            "x".parse::<Label>().unwrap_err().to_string(),
            "not a valid MPLS label: it is a number from 0 to 1048575"
        );
        assert_eq!(format!("{:?}", Label::from_entry(0x0001_2140)), "Label(18)");
    }
}
