//! `String.format`, as far as templates use it: `%s %S %d %x %X %f %e %c %b %n
//! %%`, with flags, width and precision.

use super::{
    Failure,
    text::{Bounded, number_of},
};
use crate::{number::Number, value::Value};

#[derive(Default)]
struct Spec {
    argument: Option<usize>,
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    group: bool,
    width: usize,
    precision: Option<usize>,
}

/// A width or a precision beyond this helps nobody.
const WIDTH_MAX: usize = 10_000;

pub fn format(pattern: &str, arguments: &[Value], max: usize) -> Result<Value, Failure> {
    let mut out = Bounded::new(max);
    let mut next = 0;
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        out.push(before)?;
        let (spec, conversion, length) = spec(after)?;
        rest = &after[length..];
        let text = match conversion {
            'n' => "\n".to_owned(),
            '%' => "%".to_owned(),
            _ => {
                let index = spec.argument.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                let missing = || {
                    let class = "java.util.MissingFormatArgumentException";
                    Failure::exception(class, format!("Format specifier '%{conversion}'"))
                };
                convert(conversion, arguments.get(index).ok_or_else(missing)?, &spec)?
            }
        };
        out.push(&pad(text, &spec))?;
    }
    out.push(rest)?;
    Ok(out.finish())
}

/// The specifier after a `%`, its letter, and its length.
fn spec(text: &str) -> Result<(Spec, char, usize), Failure> {
    let mut spec = Spec::default();
    let mut at = 0;
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let number = |at: usize, length: usize| text[at..at + length].parse().unwrap_or(usize::MAX);
    let length = digits(0);
    if length > 0 && text[length..].starts_with('$') {
        spec.argument = number(0, length).checked_sub(1);
        at = length + 1;
    }
    while let Some(flag) = text[at..].chars().next() {
        match flag {
            '-' => spec.left = true,
            '0' => spec.zero = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            ',' => spec.group = true,
            _ => break,
        }
        at += 1;
    }
    let length = digits(at);
    if length > 0 {
        spec.width = number(at, length).min(WIDTH_MAX);
        at += length;
    }
    if text[at..].starts_with('.') {
        let length = digits(at + 1);
        spec.precision = Some(number(at + 1, length).min(WIDTH_MAX));
        at += 1 + length;
    }
    match text[at..].chars().next() {
        Some(letter) => Ok((spec, letter, at + letter.len_utf8())),
        None => Err(Failure::exception(
            "java.util.UnknownFormatConversionException",
            "Conversion = '%'",
        )),
    }
}

fn convert(conversion: char, value: &Value, spec: &Spec) -> Result<String, Failure> {
    let text = match conversion {
        's' | 'S' => {
            let text = value.to_text()?;
            match spec.precision {
                Some(length) => text.chars().take(length).collect(),
                None => text,
            }
        }
        'b' | 'B' => (!matches!(value, Value::Null | Value::Bool(false))).to_string(),
        'c' | 'C' => match value {
            Value::Number(Number::Int(code)) => u32::try_from(*code)
                .ok()
                .and_then(char::from_u32)
                .map(String::from)
                .ok_or_else(|| wrong(conversion, value))?,
            other => other.to_text()?,
        },
        _ if value.is_null() => "null".to_owned(),
        'd' => match number_of(value) {
            Some(number @ (Number::Int(_) | Number::Long(_) | Number::Big(_))) => {
                signed(grouped(number.to_string(), spec), spec)
            }
            _ => return Err(wrong(conversion, value)),
        },
        'x' | 'X' | 'o' => match (number_of(value), conversion) {
            (Some(Number::Int(number)), 'o') => format!("{number:o}"),
            (Some(Number::Long(number)), 'o') => format!("{number:o}"),
            (Some(Number::Int(number)), _) => format!("{number:x}"),
            (Some(Number::Long(number)), _) => format!("{number:x}"),
            _ => return Err(wrong(conversion, value)),
        },
        'f' | 'e' | 'E' => match number_of(value) {
            Some(number @ (Number::Double(_) | Number::Decimal(_))) => {
                float(number.to_double(), conversion, spec)
            }
            _ => return Err(wrong(conversion, value)),
        },
        other => {
            let message = format!("Conversion = '{other}'");
            return Err(Failure::exception("java.util.UnknownFormatConversionException", message));
        }
    };
    Ok(if conversion.is_uppercase() { text.to_uppercase() } else { text })
}

fn wrong(conversion: char, value: &Value) -> Failure {
    let message = format!("{conversion} != {}", value.class());
    Failure::exception("java.util.IllegalFormatConversionException", message)
}

fn float(number: f64, conversion: char, spec: &Spec) -> String {
    let precision = spec.precision.unwrap_or(6);
    if conversion == 'f' {
        return signed(grouped(format!("{number:.precision$}"), spec), spec);
    }
    let text = format!("{number:.precision$e}");
    let text = match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    };
    signed(text, spec)
}

/// With a comma before every three digits, if that was asked for.
fn grouped(text: String, spec: &Spec) -> String {
    if !spec.group {
        return text;
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut grouped = String::new();
    for (index, digit) in digits[..whole].chars().enumerate() {
        if index > 0 && (whole - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{}", &digits[whole..])
}

fn signed(text: String, spec: &Spec) -> String {
    match text.starts_with('-') {
        false if spec.plus => format!("+{text}"),
        false if spec.space => format!(" {text}"),
        _ => text,
    }
}

fn pad(text: String, spec: &Spec) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.left {
        return text + &" ".repeat(missing);
    }
    if spec.zero {
        let sign = usize::from(text.starts_with(['-', '+', ' ']));
        return format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..]);
    }
    " ".repeat(missing) + &text
}
