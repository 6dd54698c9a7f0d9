//! Bools as the bytes that kernels compute with, and bytes as bools where a user sees them.

/// The bytes of bools: 0 or 1.
#[inline]
pub const fn bool_bytes(x: &[bool]) -> &[u8] {
    // SAFETY: a bool is one initialised byte.
    unsafe { core::slice::from_raw_parts(x.as_ptr().cast(), x.len()) }
}

/// Bytes as bools.
///
/// # Panics
/// When a byte is neither 0 nor 1.
#[inline]
pub fn bools(x: &[u8]) -> &[bool] {
    assert!(x.iter().all(|b| *b < 2), "a byte that is no bool");
    // SAFETY: each byte is 0 or 1 (checked).
    unsafe { core::slice::from_raw_parts(x.as_ptr().cast(), x.len()) }
}

/// Bytes as bools to change; bytes other than 0 become 1 first.
#[inline]
pub fn bools_mut(x: &mut [u8]) -> &mut [bool] {
    x.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    // SAFETY: each byte is 0 or 1 (made so), and what is written through the result is a bool again.
    unsafe { core::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bools_and_bytes_are_the_same() {
        let mut bytes = [0, 1, 7];
        bools_mut(&mut bytes)[0] = true;
        assert_eq!(bytes, [1, 1, 1]);
        assert_eq!(bools(&[0, 1]), [false, true]);
        assert_eq!(bool_bytes(&[true, false]), [1, 0]);
    }

    #[test]
    #[should_panic(expected = "no bool")]
    fn another_byte_is_refused() {
        bools(&[2]);
    }
}
