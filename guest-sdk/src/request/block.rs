//! Sixteen bytes of JSON looked at at once, with a WebAssembly guest's vectors.

/// How many bytes a block has.
pub const BYTES: usize = 16;

/// Which of a block's bytes are what: a bit for each, from the lowest on.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    pub quotes: u32,
    pub backslashes: u32,
    /// Brackets of objects and arrays that open.
    pub opening: u32,
    /// Those that close.
    pub closing: u32,
}

/// Braces and brackets differ in this bit alone.
const BRACE: u8 = b'{' ^ b'[';

impl Block {
    #[cfg(target_family = "wasm")]
    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn of(bytes: &[u8; BYTES]) -> Self {
        use core::arch::wasm32::{u8x16_splat, v128_or};
        let bytes = vector(bytes);
        let brackets = v128_or(bytes, u8x16_splat(BRACE));
        Self {
            quotes: equal(bytes, b'"'),
            backslashes: equal(bytes, b'\\'),
            opening: equal(brackets, b'{'),
            closing: equal(brackets, b'}'),
        }
    }

    #[cfg(not(target_family = "wasm"))]
    pub fn of(bytes: &[u8; BYTES]) -> Self {
        Self {
            quotes: bits(bytes, |byte| byte == b'"'),
            backslashes: bits(bytes, |byte| byte == b'\\'),
            opening: bits(bytes, |byte| byte | BRACE == b'{'),
            closing: bits(bytes, |byte| byte | BRACE == b'}'),
        }
    }

    /// Of each byte, whether it stands in a string, where none of them is escaped;
    /// what begins a string does, and what ends it does not.
    pub fn in_strings(&self, begins_in_one: bool) -> u32 {
        // Whether the number of quotation marks up to here is odd.
        let mut odd = self.quotes;
        for shift in [1, 2, 4, 8] {
            odd ^= odd << shift;
        }
        if begins_in_one { !odd } else { odd }
    }
}

/// Which of the bytes end a string or escape what follows.
#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
pub fn quotes_and_backslashes(bytes: &[u8; BYTES]) -> u32 {
    let bytes = vector(bytes);
    equal(bytes, b'"') | equal(bytes, b'\\')
}

#[cfg(not(target_family = "wasm"))]
pub fn quotes_and_backslashes(bytes: &[u8; BYTES]) -> u32 {
    bits(bytes, |byte| matches!(byte, b'"' | b'\\'))
}

#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
fn vector(bytes: &[u8; BYTES]) -> core::arch::wasm32::v128 {
    let number = u128::from_le_bytes(*bytes);
    // By halves, as they are loaded.
    core::arch::wasm32::u64x2(number as u64, (number >> 64) as u64)
}

#[cfg(target_family = "wasm")]
#[inline]
#[target_feature(enable = "simd128")]
fn equal(bytes: core::arch::wasm32::v128, byte: u8) -> u32 {
    use core::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat};
    u32::from(u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(byte))))
}

#[cfg(not(target_family = "wasm"))]
fn bits(bytes: &[u8; BYTES], is_one: impl Fn(u8) -> bool) -> u32 {
    bytes.iter().rev().fold(0, |bits, &byte| bits << 1 | u32::from(is_one(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_bit() {
        let block = Block::of(b"{\"a\":[\"]\\\"\",1]}!");
        let bits = |at: &[u32]| at.iter().map(|at| 1 << at).sum::<u32>();
        assert_eq!(block.quotes, bits(&[1, 3, 6, 9, 10]));
        assert_eq!(block.backslashes, bits(&[8]));
        assert_eq!((block.opening, block.closing), (bits(&[0, 5]), bits(&[7, 13, 14])));
        assert_eq!(quotes_and_backslashes(b"0\"\\3456789abcdef"), bits(&[1, 2]));
    }

    #[test]
    fn strings_are_told_from_what_is_between_them() {
        let inside = Block::of(b"{\"a\":\"{}\",\"b\":1,").in_strings(false);
        let expected = "011001110011000".chars().rev().collect::<String>();
        assert_eq!(inside & 0x7fff, u32::from_str_radix(&expected, 2).expect("binary"));
        let inside = Block::of(b"{}\", \"b\":1,\"....").in_strings(true);
        let expected = "1100011000011111".chars().rev().collect::<String>();
        assert_eq!(inside & 0xffff, u32::from_str_radix(&expected, 2).expect("binary"));
    }
}
