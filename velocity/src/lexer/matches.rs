//! How long each kind of token is at a place in the text.

use super::{Kind, State};

/// The longest match so far; of equally long ones the first kind.
#[derive(Default)]
pub struct Best(pub Option<(usize, Kind)>);

impl Best {
    pub fn offer(&mut self, kind: Kind, length: Option<usize>) {
        let Some(length) = length.filter(|&length| length > 0) else { return };
        let better = |&(longest, first): &(usize, Kind)| {
            length > longest || (length == longest && kind < first)
        };
        if self.0.as_ref().is_none_or(better) {
            self.0 = Some((length, kind));
        }
    }
}

pub fn common(rest: &str, state: State, best: &mut Best) {
    let bytes = rest.as_bytes();
    let slashes = span(rest, |b| b == b'\\').unwrap_or(0);
    if bytes.get(slashes) == Some(&b'$') {
        best.offer(Kind::Dollar, Some(slashes + 1));
        let more = span(&rest[slashes + 1..], |b| b == b'\\').unwrap_or(0);
        if bytes.get(slashes + 1 + more) == Some(&b'!') {
            best.offer(Kind::DollarBang, Some(slashes + more + 2));
        }
    }
    best.offer(Kind::TextblockOpen, literal(rest, "#[["));
    if let Some(after) = rest.strip_prefix("#**") {
        let length = after.chars().next().filter(|&c| c != '#').map(|c| 3 + c.len_utf8());
        best.offer(Kind::FormalCommentOpen, length);
    }
    best.offer(Kind::CommentOpen, literal(rest, "#*"));
    best.offer(Kind::Hash, literal(rest, "#"));
    if matches!(state, State::Reference | State::Directive | State::Default | State::PreDirective) {
        best.offer(Kind::LineComment, literal(rest, "##"));
    }
    if matches!(state, State::Reference | State::Default) {
        for text in ["$[", "$![", "$\\![", "$."] {
            best.offer(Kind::NoReference, literal(rest, text));
        }
    }
}

pub fn values(rest: &str, best: &mut Best) {
    best.offer(Kind::Whitespace, span(rest, |b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')));
    best.offer(Kind::String, string(rest, b'"').or_else(|| string(rest, b'\'')));
    best.offer(Kind::True, literal(rest, "true"));
    best.offer(Kind::False, literal(rest, "false"));
    best.offer(Kind::Integer, integer(rest));
    best.offer(Kind::Float, float(rest));
}

pub fn brackets(rest: &str, best: &mut Best) {
    for (kind, text) in [
        (Kind::ListOpen, "["),
        (Kind::ListClose, "]"),
        (Kind::Comma, ","),
        (Kind::DoubleDot, ".."),
        (Kind::Colon, ":"),
        (Kind::MapOpen, "{"),
        (Kind::MapClose, "}"),
    ] {
        best.offer(kind, literal(rest, text));
    }
}

pub fn operators(rest: &str, best: &mut Best) {
    for (kind, text) in [
        (Kind::Minus, "-"),
        (Kind::Plus, "+"),
        (Kind::Multiply, "*"),
        (Kind::Divide, "/"),
        (Kind::Modulus, "%"),
        (Kind::And, "&&"),
        (Kind::And, "and"),
        (Kind::Or, "||"),
        (Kind::Or, "or"),
        (Kind::Less, "<"),
        (Kind::Less, "lt"),
        (Kind::LessOrEqual, "<="),
        (Kind::LessOrEqual, "le"),
        (Kind::Greater, ">"),
        (Kind::Greater, "gt"),
        (Kind::GreaterOrEqual, ">="),
        (Kind::GreaterOrEqual, "ge"),
        (Kind::Equal, "=="),
        (Kind::Equal, "eq"),
        (Kind::NotEqual, "!="),
        (Kind::NotEqual, "ne"),
        (Kind::Not, "!"),
        (Kind::Not, "not"),
        (Kind::Assign, "="),
    ] {
        best.offer(kind, literal(rest, text));
    }
}

pub fn pre_directive(rest: &str, best: &mut Best) {
    let lined = |name: &str| {
        let length = literal(rest, name).or_else(|| literal(rest, &format!("{{{name}}}")))?;
        Some(length + blank_line(&rest[length..]))
    };
    let plain = |name: &str| literal(rest, name).or_else(|| literal(rest, &format!("{{{name}}}")));
    best.offer(Kind::End, lined("end"));
    best.offer(Kind::If, plain("if"));
    best.offer(Kind::ElseIf, plain("elseif"));
    best.offer(Kind::Else, lined("else"));
    best.offer(Kind::Integer, integer(rest));
    best.offer(Kind::Float, float(rest));
    best.offer(Kind::Word, word(rest));
    best.offer(Kind::BracketedWord, bracketed_word(rest));
}

pub fn literal(rest: &str, text: &str) -> Option<usize> {
    rest.starts_with(text).then_some(text.len())
}

/// The length of the longest beginning of such bytes.
pub fn span(rest: &str, is: impl Fn(u8) -> bool) -> Option<usize> {
    let length = rest.bytes().position(|byte| !is(byte)).unwrap_or(rest.len());
    (length > 0).then_some(length)
}

pub fn newline(rest: &str) -> Option<usize> {
    literal(rest, "\r\n").or_else(|| literal(rest, "\n")).or_else(|| literal(rest, "\r"))
}

/// Blanks up to and with a newline; nothing where something else follows.
pub fn blank_line(rest: &str) -> usize {
    let blanks = span(rest, |b| matches!(b, b' ' | b'\t')).unwrap_or(0);
    newline(&rest[blanks..]).map_or(0, |length| blanks + length)
}

pub fn identifier(rest: &str) -> Option<usize> {
    rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_').then_some(())?;
    span(rest, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

pub fn word(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    (first.is_ascii_alphabetic() || matches!(first, '_' | '@')).then_some(())?;
    Some(1 + span(&rest[1..], |b| b.is_ascii_alphanumeric() || b == b'_').unwrap_or(0))
}

pub fn bracketed_word(rest: &str) -> Option<usize> {
    let length = 1 + word(rest.strip_prefix('{')?)?;
    rest[length..].starts_with('}').then_some(length + 1)
}

/// A dot before a letter, and that letter, which is left afterwards.
pub fn dot(rest: &str) -> Option<usize> {
    rest.strip_prefix('.')?.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(2)
}

pub fn digits(rest: &str) -> usize {
    span(rest, |b| b.is_ascii_digit()).unwrap_or(0)
}

pub fn exponent(rest: &str) -> usize {
    let Some(after) = rest.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(after.starts_with(['+', '-']));
    match digits(&after[sign..]) {
        0 => 0,
        length => 1 + sign + length,
    }
}

pub fn integer(rest: &str) -> Option<usize> {
    let sign = usize::from(rest.starts_with('-'));
    let length = sign + Some(digits(&rest[sign..])).filter(|&length| length > 0)?;
    Some(length + literal(&rest[length..], "..").unwrap_or(0))
}

pub fn float(rest: &str) -> Option<usize> {
    let sign = usize::from(rest.starts_with('-'));
    let whole = digits(&rest[sign..]);
    let mut length = sign + whole;
    if rest[length..].starts_with('.') {
        let fraction = digits(&rest[length + 1..]);
        if whole == 0 && fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    } else if whole == 0 || exponent(&rest[length..]) == 0 {
        return None;
    }
    Some(length + exponent(&rest[length..]))
}

/// A string literal; its quote may stand in it twice.
pub fn string(rest: &str, quote: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    if bytes.first() != Some(&quote) {
        return None;
    }
    let mut end = None;
    let mut from = 1;
    while let Some(found) = bytes[from..].iter().position(|&byte| byte == quote) {
        let at = from + found;
        end = Some(at + 1);
        if bytes.get(at + 1) != Some(&quote) {
            break;
        }
        from = at + 2;
    }
    end
}

pub fn escaped_directive(rest: &str) -> Option<usize> {
    let slashes = span(rest, |b| b == b'\\').filter(|slashes| slashes % 2 == 1)?;
    let name = rest[slashes..].strip_prefix('#')?;
    Some(slashes + 1 + word(name).or_else(|| bracketed_word(name))?)
}

pub fn set(rest: &str) -> Option<usize> {
    let blanks = |text: &str| span(text, |b| matches!(b, b' ' | b'\t')).unwrap_or(0);
    let mut length = blanks(rest);
    length += literal(&rest[length..], "#set").or_else(|| literal(&rest[length..], "#{set}"))?;
    length += blanks(&rest[length..]);
    Some(length + literal(&rest[length..], "(")?)
}
