//! JSON looked at many bytes at once.

use crate::vector;

/// How many bytes a block has: those of four vectors.
pub const BYTES: usize = 4 * vector::BYTES;

/// Which of a block's bytes are what: a bit for each, from the lowest on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub quotes: u64,
    pub backslashes: u64,
    /// Brackets of objects and arrays that open.
    pub opening: u64,
    /// Those that close.
    pub closing: u64,
}

/// Braces and brackets differ in this bit alone.
const BRACE: u8 = b'{' ^ b'[';

impl Block {
    #[cfg(target_family = "wasm")]
    #[inline]
    #[target_feature(enable = "simd128")]
    pub fn of(bytes: &[u8; BYTES]) -> Self {
        use core::arch::wasm32::{u8x16_splat, v128_or};
        use vector::equal;
        let mut block = Self::default();
        for bytes in bytes.as_chunks().0.iter().rev() {
            let bytes = vector::of(bytes);
            let brackets = v128_or(bytes, u8x16_splat(BRACE));
            let before = |bits: u64, vector| bits << vector::BYTES | u64::from(vector);
            block.quotes = before(block.quotes, equal(bytes, b'"'));
            block.backslashes = before(block.backslashes, equal(bytes, b'\\'));
            block.opening = before(block.opening, equal(brackets, b'{'));
            block.closing = before(block.closing, equal(brackets, b'}'));
        }
        block
    }

    #[cfg(not(target_family = "wasm"))]
    pub fn of(bytes: &[u8; BYTES]) -> Self {
        use vector::bits;
        Self {
            quotes: bits(bytes, |byte| byte == b'"'),
            backslashes: bits(bytes, |byte| byte == b'\\'),
            opening: bits(bytes, |byte| byte | BRACE == b'{'),
            closing: bits(bytes, |byte| byte | BRACE == b'}'),
        }
    }
}

/// Where what the first of several blocks leaves open goes on in the next.
#[derive(Debug, Default)]
pub struct Between {
    /// All bits, or none.
    in_string: u64,
    /// The lowest bit, or none.
    escaped: u64,
}

impl Between {
    /// Of each byte of the next block, whether it stands in a string; what begins a
    /// string does, and what ends it does not.
    pub fn in_strings(&mut self, block: &Block) -> u64 {
        // Whether the number of quotation marks up to here is odd.
        let mut odd = block.quotes & !self.escaped(block.backslashes);
        for shift in [1, 2, 4, 8, 16, 32] {
            odd ^= odd << shift;
        }
        odd ^= self.in_string;
        self.in_string = (odd.cast_signed() >> 63).cast_unsigned();
        odd
    }

    /// Which bytes a backslash stands before that is not escaped itself: of a row of
    /// backslashes every other one, and what follows it where their number is odd.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        // A row that begins at an even place ends, by the carry, where its number
        // says; of one that begins at an odd place it is the other way round.
        let begin = backslashes & !self.escaped;
        let ends = (begin << 1 | ODD).wrapping_sub(begin) ^ ODD;
        let escaped = ends ^ (backslashes | self.escaped);
        self.escaped = (ends & backslashes) >> 63;
        escaped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(text: &[u8]) -> Block {
        let mut bytes = [b' '; BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Block::of(&bytes)
    }

    #[test]
    fn each_byte_has_its_bit() {
        let text = b"{\"a\":[\"]\\\"\",1]}!";
        let bits = |at: &[u32]| at.iter().map(|at| 1 << at).sum::<u64>();
        for shift in [0, 15, 40] {
            let block = block(&[b" ".repeat(shift), text.to_vec()].concat());
            assert_eq!(block.quotes, bits(&[1, 3, 6, 9, 10]) << shift);
            assert_eq!(block.backslashes, bits(&[8]) << shift);
            assert_eq!(block.opening, bits(&[0, 5]) << shift);
            assert_eq!(block.closing, bits(&[7, 13, 14]) << shift);
        }
    }

    /// The same byte by byte.
    fn in_strings(bytes: &[u8]) -> Vec<bool> {
        let (mut in_string, mut is_escaped) = (false, false);
        let of = |&byte: &u8| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'"' => in_string = !in_string,
                b'\\' => is_escaped = true,
                _ => {}
            }
            in_string
        };
        bytes.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn strings_are_told_from_what_is_between_them(text in "([\\\\]{1,70}|[\"a]{1,9}){0,60}") {
            let mut bytes = text.into_bytes();
            bytes.resize(bytes.len().next_multiple_of(BYTES), b' ');
            let mut between = Between::default();
            let mut found = Vec::new();
            for bytes in bytes.as_chunks().0 {
                let bits = between.in_strings(&Block::of(bytes));
                found.extend((0..BYTES).map(|at| bits >> at & 1 == 1));
            }
            prop_assert_eq!(found, in_strings(&bytes));
        }
    }
}
