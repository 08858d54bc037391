//! The targets a guest can be built for.

use std::fmt;

/// What a guest is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Components: the guests' own target.
    Wasip2,
    /// Core modules that import WASI preview 1.
    Wasip1,
    /// Core modules that import nothing but what they declare.
    Unknown,
}

impl Target {
    /// Every target there is.
    pub const ALL: [Self; 3] = [Self::Wasip2, Self::Wasip1, Self::Unknown];

    /// The name rustc knows it by.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm32-wasip2",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Unknown => "wasm32-unknown-unknown",
        }
    }

    /// The program that links for it.
    pub(crate) fn linker(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm-component-ld",
            Self::Wasip1 | Self::Unknown => "rust-lld",
        }
    }

    /// Whether its programs are linked with wasi-libc.
    pub(crate) fn has_libc(self) -> bool {
        self != Self::Unknown
    }

    /// The middle part of Cargo's `CARGO_TARGET_…_LINKER`.
    pub(crate) fn as_variable(self) -> String {
        self.triple().to_uppercase().replace('-', "_")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_the_triple_in_capitals() {
        assert_eq!(Target::Wasip2.as_variable(), "WASM32_WASIP2");
        assert_eq!(Target::Unknown.as_variable(), "WASM32_UNKNOWN_UNKNOWN");
    }
}
