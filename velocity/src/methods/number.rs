//! Methods of numbers and booleans, static ones included: a template reaches
//! `Integer.parseInt` through any integer.

use super::Failure;
use crate::{number::Number, value::Value};

pub fn boolean(value: bool, name: &str, arguments: &[Value]) -> Option<Value> {
    Some(match (name, arguments) {
        ("booleanValue", []) => Value::Bool(value),
        ("compareTo" | "compare", [Value::Bool(other)]) => {
            Value::integer(i64::from(value) - i64::from(*other))
        }
        ("parseBoolean" | "valueOf", [Value::Text(text)]) => {
            Value::Bool(text.eq_ignore_ascii_case("true"))
        }
        ("valueOf", [Value::Bool(one)]) => Value::Bool(*one),
        ("toString", [Value::Bool(one)]) => Value::from(if *one { "true" } else { "false" }),
        ("hashCode", [Value::Bool(one)]) => Value::integer(if *one { 1231 } else { 1237 }),
        ("logicalXor", [Value::Bool(left), Value::Bool(right)]) => Value::Bool(left != right),
        _ => return None,
    })
}

pub fn call(number: &Number, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let converted = match (name, arguments) {
        ("intValue", []) => Some(Number::Int(number.to_int())),
        ("longValue", []) => Some(Number::Long(number.to_long())),
        ("doubleValue" | "floatValue", []) => Some(Number::Double(number.to_double())),
        ("shortValue", []) => Some(Number::Int(i32::from(number.to_int() as i16))),
        ("byteValue", []) => Some(Number::Int(i32::from(number.to_int() as i8))),
        _ => None,
    };
    if let Some(converted) = converted {
        return Ok(Some(Value::Number(converted)));
    }
    let same = |other: &Number| std::mem::discriminant(number) == std::mem::discriminant(other);
    match (name, arguments) {
        ("compareTo", [Value::Number(other)]) if same(other) => {
            return Ok(Some(Value::integer(number.compare(other) as i64)));
        }
        ("equals", [Value::Number(other)]) => {
            return Ok(Some(Value::Bool(same(other) && number == other)));
        }
        _ => {}
    }
    match number {
        Number::Int(_) => integer(name, arguments, false),
        Number::Long(_) => integer(name, arguments, true),
        Number::Double(own) => double(*own, name, arguments),
        Number::Big(_) | Number::Decimal(_) => big(number, name, arguments),
    }
}

/// What a static method of `own`'s class takes `one` for: Java widens.
pub fn widened(own: &Number, one: &Number) -> Option<Number> {
    match (own, one) {
        (Number::Int(_), Number::Int(_)) | (Number::Long(_), Number::Long(_)) => Some(one.clone()),
        (Number::Long(_), Number::Int(_)) => Some(Number::Long(one.to_long())),
        (Number::Double(_), Number::Int(_) | Number::Long(_) | Number::Double(_)) => {
            Some(Number::Double(one.to_double()))
        }
        _ => None,
    }
}

fn format_error(text: &str) -> Failure {
    Failure::exception("java.lang.NumberFormatException", format!("For input string: {text:?}"))
}

fn parse(text: &str, radix: u32, long: bool) -> Result<Value, Failure> {
    // Rust takes no `-` alone and Java neither; both take a leading `+`.
    let number = match long {
        true => i64::from_str_radix(text, radix).ok().map(Number::Long),
        false => i32::from_str_radix(text, radix).ok().map(Number::Int),
    };
    number.map(Value::Number).ok_or_else(|| format_error(text))
}

/// What an argument of a static method is as `int` or `long`.
fn whole(value: &Value, long: bool) -> Option<i64> {
    match value {
        Value::Number(Number::Int(number)) => Some(i64::from(*number)),
        Value::Number(Number::Long(number)) if long => Some(*number),
        _ => None,
    }
}

fn integer(name: &str, arguments: &[Value], long: bool) -> Result<Option<Value>, Failure> {
    let number = |number: i64| {
        Value::Number(if long { Number::Long(number) } else { Number::Int(number as i32) })
    };
    let bits = |number: i64| if long { number as u64 } else { u64::from(number as u32) };
    let parses = matches!(
        (name, long),
        ("valueOf" | "decode", _) | ("parseInt", false) | ("parseLong", true)
    );
    Ok(Some(match arguments {
        [Value::Text(text)] if parses => parse(text, 10, long)?,
        [Value::Text(text), radix] if parses && name != "decode" => match whole(radix, false) {
            Some(radix @ 2..=36) => parse(text, radix as u32, long)?,
            Some(_) => return Err(format_error(text)),
            None => return Ok(None),
        },
        [one] => {
            let Some(one) = whole(one, long) else { return Ok(None) };
            match name {
                "valueOf" => number(one),
                "toString" => Value::text(one.to_string()),
                "toHexString" => Value::text(format!("{:x}", bits(one))),
                "toOctalString" => Value::text(format!("{:o}", bits(one))),
                "toBinaryString" => Value::text(format!("{:b}", bits(one))),
                "signum" => Value::integer(one.signum()),
                "bitCount" => Value::integer(i64::from(bits(one).count_ones())),
                _ => return Ok(None),
            }
        }
        [left, right] => {
            let (Some(left), Some(right)) = (whole(left, long), whole(right, long)) else {
                return Ok(None);
            };
            match name {
                "max" => number(left.max(right)),
                "min" => number(left.min(right)),
                "sum" => number(left.wrapping_add(right)),
                "compare" => Value::integer(left.cmp(&right) as i64),
                "toString" if (2..=36).contains(&right) => Value::text(radix(left, right as u64)),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    }))
}

/// A number in another base, as `Integer.toString` writes it.
fn radix(number: i64, base: u64) -> String {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 || digits.is_empty() {
        digits.extend(char::from_digit((rest % base) as u32, base as u32));
        rest /= base;
    }
    if number < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}

fn double(own: f64, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let number = |number| Value::Number(Number::Double(number));
    Ok(Some(match (name, arguments) {
        ("isNaN", []) => Value::Bool(own.is_nan()),
        ("isNaN", [Value::Number(one)]) => Value::Bool(one.to_double().is_nan()),
        ("isInfinite", []) => Value::Bool(own.is_infinite()),
        ("isInfinite", [Value::Number(one)]) => Value::Bool(one.to_double().is_infinite()),
        ("parseDouble" | "valueOf", [Value::Text(text)]) => {
            let parsed = text.trim().trim_end_matches(['d', 'D', 'f', 'F']).parse::<f64>();
            number(parsed.map_err(|_| format_error(text))?)
        }
        ("valueOf", [Value::Number(one)]) => number(one.to_double()),
        ("toString", [Value::Number(one)]) => {
            Value::text(Number::Double(one.to_double()).to_string())
        }
        ("max", [Value::Number(left), Value::Number(right)]) => {
            number(left.to_double().max(right.to_double()))
        }
        ("min", [Value::Number(left), Value::Number(right)]) => {
            number(left.to_double().min(right.to_double()))
        }
        ("compare", [Value::Number(left), Value::Number(right)]) => {
            Value::integer(left.compare(right) as i64)
        }
        _ => return Ok(None),
    }))
}

fn big(own: &Number, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
    let too_long = || Failure::Limit("a number has too many digits".to_owned());
    Ok(Some(match (name, arguments) {
        ("add", [Value::Number(other)]) => Value::Number(own.add(other)),
        ("subtract", [Value::Number(other)]) => Value::Number(own.subtract(other)),
        ("multiply", [Value::Number(other)]) => {
            Value::Number(own.multiply(other).ok_or_else(too_long)?)
        }
        ("divide", [Value::Number(other)]) => {
            let zero = || Failure::exception("java.lang.ArithmeticException", "division by zero");
            Value::Number(own.divide(other).ok_or_else(zero)?)
        }
        ("signum", []) => Value::integer(own.compare(&Number::Int(0)) as i64),
        _ => return Ok(None),
    }))
}
