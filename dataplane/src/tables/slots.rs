//! Dense numbers of objects within one dataplane.
//!
//! Clients choose identifiers freely; workers index arrays. A slot is the array index of an object, valid within the process
//! and reused after the object is gone. Each kind has its own type so that one is never taken for another.

macro_rules! slot {
    ($(#[doc = $doc:literal])+ $name:ident($repr:ty), max $max:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($repr);

        impl $name {
            /// Largest slot.
            pub const MAX: Self = Self($max);

            /// The slot with this number, if it is within range.
            #[inline]
            pub const fn new(number: usize) -> Option<Self> {
                if number <= $max as usize { Some(Self(number as $repr)) } else { None }
            }

            /// As an array index.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// As the number it is stored as.
            #[inline]
            pub const fn raw(self) -> $repr {
                self.0
            }

            /// From the number that [`raw`](Self::raw) gave.
            #[inline]
            pub const fn from_raw(raw: $repr) -> Self {
                Self(raw)
            }
        }
    };
}

slot! {
    /// A port.
    PortSlot(u16), max 65_535
}
slot! {
    /// A VRF.
    VrfSlot(u16), max 65_535
}
slot! {
    /// A bridge.
    BridgeSlot(u16), max 65_535
}
slot! {
    /// A next hop. 24 bits, so that a route's value has room for its source beside it.
    NextHopSlot(u32), max 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_range() {
        assert_eq!(NextHopSlot::new(0x00ff_ffff), Some(NextHopSlot::MAX));
        assert_eq!(NextHopSlot::new(0x0100_0000), None);
        assert_eq!(PortSlot::new(65_536), None);
        assert_eq!(PortSlot::new(7).map(PortSlot::index), Some(7));
    }
}
