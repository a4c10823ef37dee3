//! How header views are made: one macro for the type, one for plain fields.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::Mac;
use super::bytes::{get, get_u8, put};

/// A value that stands on the wire at a fixed offset, in network order.
pub(super) trait Field: Sized {
    /// Reads it; zero if it is not all there.
    fn load(buf: &[u8], at: usize) -> Self;
    /// Writes it; does nothing if it does not fit.
    fn store(self, buf: &mut [u8], at: usize);
}

impl Field for u8 {
    #[inline(always)]
    fn load(buf: &[u8], at: usize) -> Self {
        get_u8(buf, at)
    }
    #[inline(always)]
    fn store(self, buf: &mut [u8], at: usize) {
        put(buf, at, [self]);
    }
}

macro_rules! field {
    ($($type:ty => $from:expr, $to:expr;)*) => {$(
        impl Field for $type {
            #[inline(always)]
            fn load(buf: &[u8], at: usize) -> Self {
                $from(get(buf, at))
            }
            #[inline(always)]
            fn store(self, buf: &mut [u8], at: usize) {
                put(buf, at, $to(self));
            }
        }
    )*};
}

field! {
    u16 => u16::from_be_bytes, u16::to_be_bytes;
    u32 => u32::from_be_bytes, u32::to_be_bytes;
    Mac => Mac, |mac: Mac| mac.0;
    Ipv4Addr => <Ipv4Addr as From<[u8; 4]>>::from, |addr: Ipv4Addr| addr.octets();
    Ipv6Addr => <Ipv6Addr as From<[u8; 16]>>::from, |addr: Ipv6Addr| addr.octets();
}

/// Declares a view: a thin type over the bytes of one header and what follows. `$check` says whether they are one.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name<T> {
            buf: T,
        }

        impl<T: AsRef<[u8]>> $name<T> {
            /// A view, once the bytes have been found to hold the whole header.
            ///
            /// # Errors
            /// What is short or not allowed.
            pub fn new_checked(buf: T) -> Result<Self, $crate::wire::WireError> {
                $check(buf.as_ref())?;
                Ok(Self { buf })
            }

            /// A view without a look: for bytes that were walked or written before. Never a panic, whatever they are.
            #[inline]
            pub const fn new_unchecked(buf: T) -> Self {
                Self { buf }
            }

            /// The bytes, from the first of the header on.
            #[inline]
            pub fn as_bytes(&self) -> &[u8] {
                self.buf.as_ref()
            }

            /// Gives the buffer back.
            #[inline]
            pub fn into_inner(self) -> T {
                self.buf
            }
        }
    };
}

/// Declares getters and setters of plain fields of a view.
macro_rules! fields {
    ($view:ident { $($doc:literal $get:ident, $set:ident: $type:ty = $at:expr;)* }) => {
        impl<T: AsRef<[u8]>> $view<T> {
            $(
                #[doc = $doc]
                #[inline]
                pub fn $get(&self) -> $type {
                    <$type as $crate::wire::view::Field>::load(self.buf.as_ref(), $at)
                }
            )*
        }

        impl<T: AsRef<[u8]> + AsMut<[u8]>> $view<T> {
            $(
                #[doc = concat!("Sets: ", $doc)]
                #[inline]
                pub fn $set(&mut self, value: $type) {
                    <$type as $crate::wire::view::Field>::store(value, self.buf.as_mut(), $at);
                }
            )*
        }
    };
}

pub(super) use {fields, view};
