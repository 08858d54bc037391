//! Bytes looked at sixteen at once, with a WebAssembly guest's vectors.

/// How many bytes a vector has.
pub const BYTES: usize = 16;

/// Which of the bytes end a JSON string or escape what follows: a bit for each,
/// from the lowest on.
#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
pub fn quotes_and_backslashes(bytes: &[u8; BYTES]) -> u16 {
    let bytes = of(bytes);
    equal(bytes, b'"') | equal(bytes, b'\\')
}

#[cfg(not(target_family = "wasm"))]
pub fn quotes_and_backslashes(bytes: &[u8; BYTES]) -> u16 {
    bits(bytes, |byte| matches!(byte, b'"' | b'\\')) as u16
}

/// Which of the bytes cannot stand in a JSON string as they are.
#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
pub fn escaped(bytes: &[u8; BYTES]) -> u16 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_lt, u8x16_splat};
    quotes_and_backslashes(bytes) | u8x16_bitmask(u8x16_lt(of(bytes), u8x16_splat(b' ')))
}

#[cfg(not(target_family = "wasm"))]
pub fn escaped(bytes: &[u8; BYTES]) -> u16 {
    quotes_and_backslashes(bytes) | bits(bytes, |byte| byte < b' ') as u16
}

#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
pub fn of(bytes: &[u8; BYTES]) -> core::arch::wasm32::v128 {
    let number = u128::from_le_bytes(*bytes);
    // By halves, as they are loaded.
    core::arch::wasm32::u64x2(number as u64, (number >> 64) as u64)
}

#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
pub fn equal(bytes: core::arch::wasm32::v128, byte: u8) -> u16 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat};
    u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(byte)))
}

/// Which of the bytes are so, where there are no vectors.
#[cfg(not(target_family = "wasm"))]
pub fn bits(bytes: &[u8], is_one: impl Fn(u8) -> bool) -> u64 {
    bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | u64::from(is_one(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_bit() {
        let bytes = b"0\"\\3\n5\x1f \x7f\x80abcde\\";
        assert_eq!(quotes_and_backslashes(bytes), 0b1000_0000_0000_0110);
        assert_eq!(escaped(bytes), 0b1000_0000_0101_0110);
    }
}
