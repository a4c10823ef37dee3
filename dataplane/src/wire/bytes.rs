//! Total reads and writes of fixed-size fields: never a panic, one bounds check each.

/// Reads `N` bytes at `at`; zeros if they are not all there.
#[inline(always)]
pub(super) fn get<const N: usize>(buf: &[u8], at: usize) -> [u8; N] {
    match buf.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(chunk) => *chunk,
        None => [0; N],
    }
}

/// Writes `N` bytes at `at`; does nothing if they do not all fit.
#[inline(always)]
pub(super) fn put<const N: usize>(buf: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(chunk) = buf.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) {
        *chunk = value;
    }
}

/// Reads one byte.
#[inline(always)]
pub(super) fn get_u8(buf: &[u8], at: usize) -> u8 {
    buf.get(at).copied().unwrap_or(0)
}

/// Reads a 16-bit field in network order.
#[inline(always)]
pub(super) fn get_u16(buf: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(get(buf, at))
}

/// Reads a 32-bit field in network order.
#[inline(always)]
pub(super) fn get_u32(buf: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(get(buf, at))
}

/// Writes a 16-bit field in network order.
#[inline(always)]
pub(super) fn put_u16(buf: &mut [u8], at: usize, value: u16) {
    put(buf, at, value.to_be_bytes());
}

/// Writes a 32-bit field in network order.
#[inline(always)]
pub(super) fn put_u32(buf: &mut [u8], at: usize, value: u32) {
    put(buf, at, value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_beyond_the_end_are_harmless() {
        let mut b = [1u8, 2, 3];
        assert_eq!(get::<2>(&b, 1), [2, 3]);
        assert_eq!(get::<2>(&b, 2), [0, 0]);
        assert_eq!(get::<2>(&b, usize::MAX), [0, 0]);
        put(&mut b, 2, [9, 9]);
        put(&mut b, usize::MAX, [9]);
        assert_eq!(b, [1, 2, 3]);
        put_u16(&mut b, 0, 0x0a0b);
        assert_eq!(b, [0x0a, 0x0b, 3]);
        assert_eq!(get_u8(&b, 3), 0);
    }
}
