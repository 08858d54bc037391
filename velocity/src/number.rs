//! Java's numbers, as Velocity calculates with them: integers widen instead of
//! overflowing, and print as Java prints them.

use std::{cmp::Ordering, fmt};

use bigdecimal::{
    BigDecimal, FromPrimitive as _, RoundingMode, ToPrimitive as _, Zero as _, num_bigint::BigInt,
};

/// A number of one of Java's types; the large ones are elsewhere, so that values
/// are small.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// `Integer`.
    Int(i32),
    /// `Long`.
    Long(i64),
    /// `BigInteger`.
    Big(Box<BigInt>),
    /// `Double`.
    Double(f64),
    /// `BigDecimal`.
    Decimal(Box<BigDecimal>),
}

/// Bits that an integer may have: more is an attack, not a calculation.
pub const BITS_MAX: u64 = 1 << 16;

/// What an operation is done in.
enum Base {
    Long(i64, i64),
    Big(BigInt, BigInt),
    Double(f64, f64),
    Decimal(BigDecimal, BigDecimal),
}

impl Number {
    /// An integer literal: the first type that holds it.
    pub fn integer(text: &str) -> Self {
        if let Ok(number) = text.parse() {
            return Self::Int(number);
        }
        if let Ok(number) = text.parse() {
            return Self::Long(number);
        }
        text.parse().map_or(Self::Double(f64::NAN), Self::big)
    }

    fn big(number: BigInt) -> Self {
        Self::Big(Box::new(number))
    }

    fn decimal(number: BigDecimal) -> Self {
        Self::Decimal(Box::new(number))
    }

    /// A floating point literal.
    pub fn float(text: &str) -> Self {
        Self::Double(text.parse().unwrap_or(f64::NAN))
    }

    /// `intValue()`.
    pub fn to_int(&self) -> i32 {
        match self {
            Self::Int(number) => *number,
            // Java keeps the low bits of integers and saturates floats.
            Self::Long(number) => *number as i32,
            Self::Double(number) => *number as i32,
            Self::Big(_) | Self::Decimal(_) => self.to_long() as i32,
        }
    }

    /// `longValue()`.
    pub fn to_long(&self) -> i64 {
        match self {
            Self::Int(number) => i64::from(*number),
            Self::Long(number) => *number,
            Self::Double(number) => *number as i64,
            Self::Big(number) => low_bits(number),
            Self::Decimal(number) => {
                low_bits(&number.with_scale_round(0, RoundingMode::Down).into_bigint_and_scale().0)
            }
        }
    }

    /// `doubleValue()`.
    pub fn to_double(&self) -> f64 {
        match self {
            Self::Int(number) => f64::from(*number),
            Self::Long(number) => *number as f64,
            Self::Double(number) => *number,
            Self::Big(number) => number.to_f64().unwrap_or(f64::INFINITY),
            Self::Decimal(number) => number.to_f64().unwrap_or(f64::INFINITY),
        }
    }

    /// The name of Java's class.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Int(_) => "java.lang.Integer",
            Self::Long(_) => "java.lang.Long",
            Self::Big(_) => "java.math.BigInteger",
            Self::Double(_) => "java.lang.Double",
            Self::Decimal(_) => "java.math.BigDecimal",
        }
    }

    /// The bytes that it takes, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Big(number) => usize::try_from(number.bits() / 8).unwrap_or(usize::MAX),
            _ => 8,
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Long(number) => *number == 0,
            Self::Big(number) => number.is_zero(),
            Self::Double(number) => *number == 0.0,
            Self::Decimal(number) => number.is_zero(),
        }
    }

    fn to_big(&self) -> BigInt {
        match self {
            Self::Big(number) => (**number).clone(),
            other => BigInt::from(other.to_long()),
        }
    }

    fn to_decimal(&self) -> BigDecimal {
        match self {
            Self::Decimal(number) => (**number).clone(),
            Self::Big(number) => BigDecimal::from((**number).clone()),
            other => BigDecimal::from_f64(other.to_double()).unwrap_or_default(),
        }
    }

    fn base(&self, other: &Self) -> Base {
        let integer = |number: &Self| matches!(number, Self::Int(_) | Self::Long(_) | Self::Big(_));
        let big = matches!(self, Self::Big(_)) || matches!(other, Self::Big(_));
        let decimal = matches!(self, Self::Decimal(_)) || matches!(other, Self::Decimal(_));
        match (integer(self) && integer(other), big) {
            (true, true) => Base::Big(self.to_big(), other.to_big()),
            (true, false) => Base::Long(self.to_long(), other.to_long()),
            (false, true) => Base::Decimal(self.to_decimal(), other.to_decimal()),
            (false, false) if decimal => Base::Decimal(self.to_decimal(), other.to_decimal()),
            (false, false) => Base::Double(self.to_double(), other.to_double()),
        }
    }

    /// The narrowest type, at least as wide as both sides, that holds `value`.
    fn fit(value: i64, left: &Self, right: &Self) -> Self {
        let ints = matches!((left, right), (Self::Int(_), Self::Int(_)));
        match i32::try_from(value) {
            Ok(value) if ints => Self::Int(value),
            _ => Self::Long(value),
        }
    }

    /// `+`
    pub fn add(&self, other: &Self) -> Self {
        match self.base(other) {
            Base::Long(left, right) => match left.checked_add(right) {
                Some(sum) => Self::fit(sum, self, other),
                None => Self::big(BigInt::from(left) + right),
            },
            Base::Big(left, right) => Self::big(left + right),
            Base::Double(left, right) => Self::Double(left + right),
            Base::Decimal(left, right) => Self::decimal(left + right),
        }
    }

    /// `-`
    pub fn subtract(&self, other: &Self) -> Self {
        match self.base(other) {
            Base::Long(left, right) => match left.checked_sub(right) {
                Some(difference) => Self::fit(difference, self, other),
                None => Self::big(BigInt::from(left) - right),
            },
            Base::Big(left, right) => Self::big(left - right),
            Base::Double(left, right) => Self::Double(left - right),
            Base::Decimal(left, right) => Self::decimal(left - right),
        }
    }

    /// `*`; none where the product would be absurdly long.
    pub fn multiply(&self, other: &Self) -> Option<Self> {
        Some(match self.base(other) {
            Base::Long(left, right) => match left.checked_mul(right) {
                Some(product) => Self::fit(product, self, other),
                None => Self::big(BigInt::from(left) * right),
            },
            Base::Big(left, right) => {
                if left.bits() + right.bits() > BITS_MAX {
                    return None;
                }
                Self::big(left * right)
            }
            Base::Double(left, right) => Self::Double(left * right),
            Base::Decimal(left, right) => {
                if left.digits() + right.digits() > BITS_MAX / 4 {
                    return None;
                }
                Self::decimal(left * right)
            }
        })
    }

    /// `/`; none by zero.
    pub fn divide(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        Some(match self.base(other) {
            Base::Long(left, right) => Self::fit(left.wrapping_div(right), self, other),
            Base::Big(left, right) => Self::big(left / right),
            Base::Double(left, right) => Self::Double(left / right),
            Base::Decimal(left, right) => {
                let scale = left.fractional_digit_count();
                Self::decimal((left / right).with_scale_round(scale, RoundingMode::HalfDown))
            }
        })
    }

    /// `%`; none by zero and of decimals, which Velocity does not have.
    pub fn modulo(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        match self.base(other) {
            Base::Long(left, right) => Some(Self::fit(left.wrapping_rem(right), self, other)),
            Base::Big(left, right) => {
                // BigInteger's mod is never negative.
                let rest = left % &right;
                let negative = rest.sign() == bigdecimal::num_bigint::Sign::Minus;
                Some(Self::big(if negative { rest + right } else { rest }))
            }
            Base::Double(left, right) => Some(Self::Double(left % right)),
            Base::Decimal(..) => None,
        }
    }

    /// By value, whatever the types; a NaN is equal to everything.
    pub fn compare(&self, other: &Self) -> Ordering {
        match self.base(other) {
            Base::Long(left, right) => left.cmp(&right),
            Base::Big(left, right) => left.cmp(&right),
            Base::Double(left, right) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
            Base::Decimal(left, right) => left.cmp(&right),
        }
    }
}

fn low_bits(number: &BigInt) -> i64 {
    let low: u64 = number.iter_u64_digits().next().unwrap_or(0);
    let low = low as i64;
    match number.sign() {
        bigdecimal::num_bigint::Sign::Minus => low.wrapping_neg(),
        _ => low,
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Long(number) => write!(f, "{number}"),
            Self::Big(number) => write!(f, "{number}"),
            Self::Double(number) => f.write_str(&double(*number)),
            Self::Decimal(number) => f.write_str(&number.to_plain_string()),
        }
    }
}

/// `Double.toString`: at least one digit after the point, and an exponent
/// below 0.001 and from ten million on.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if number == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
        Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.000_1, "1.0E-4"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e300, "1.0E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(Number::Double(number).to_string(), text);
        }
    }

    #[test]
    fn integers_widen() {
        let max = Number::Int(i32::MAX);
        assert_eq!(max.add(&Number::Int(1)), Number::Long(2_147_483_648));
        let max = Number::Long(i64::MAX);
        assert_eq!(max.add(&Number::Int(1)).to_string(), "9223372036854775808");
        assert_eq!(Number::Int(-7).modulo(&Number::Int(3)), Some(Number::Int(-1)));
        assert_eq!(Number::Int(7).divide(&Number::Int(0)), None);
        assert_eq!(Number::integer("99999999999999999999").to_long(), 7_766_279_631_452_241_919);
        assert_eq!(Number::Double(3.9).to_int(), 3);
    }
}
