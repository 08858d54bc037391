//! How callers name a function: by its name, or by a whole or partial ARN,
//! perhaps with a version or alias behind it.

use std::fmt;

use super::function_name;
use crate::sandbox::LATEST;

/// The longest version or alias, in characters.
const QUALIFIER_CHARS_MAX: usize = 128;

/// A function, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionReference {
    /// The function's name.
    pub name: String,
    /// A version's number, an alias or `$LATEST`; none for the latter.
    pub qualifier: Option<String>,
}

impl FunctionReference {
    /// Reads `NAME`, `NAME:QUALIFIER` or an ARN. Region and account may be any.
    ///
    /// # Errors
    /// What a name may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || {
            "write NAME, or NAME:QUALIFIER with a version's number or an alias; names have letters, digits, '-' and '_'".to_owned()
        };
        let parts: Vec<&str> = text.split(':').collect();
        let own = match parts.iter().position(|part| *part == "function") {
            // What stands before it is `arn:aws:lambda:REGION:ACCOUNT`, or the account.
            Some(at) if matches!(at, 1 | 5) && parts.len() > at + 1 => {
                let is_arn = at == 5 && parts[0] == "arn" && parts[2] == "lambda";
                let account = parts[at - 1];
                let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
                if !is_account || (at == 5 && !is_arn) {
                    return Err(invalid());
                }
                &parts[at + 1..]
            }
            _ => &parts[..],
        };
        let (name, qualifier) = match own {
            [name] => (*name, None),
            [name, qualifier] if is_qualifier(qualifier) => (*name, Some((*qualifier).to_owned())),
            _ => return Err(invalid()),
        };
        function_name(name).map_err(|_| invalid())?;
        Ok(Self { name: name.to_owned(), qualifier })
    }

    /// The qualifier, `$LATEST` where there is none.
    pub fn version(&self) -> &str {
        self.qualifier.as_deref().unwrap_or(LATEST)
    }
}

impl fmt::Display for FunctionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.qualifier.as_ref().map_or(Ok(()), |qualifier| write!(f, ":{qualifier}"))
    }
}

/// Whether this may be a version or an alias.
pub fn is_qualifier(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text == LATEST
        || (!text.is_empty() && text.len() <= QUALIFIER_CHARS_MAX && text.bytes().all(valid))
}

/// The number of a version, where this is one: they count from 1, and each has
/// one way to write it.
pub fn version_number(text: &str) -> Option<u64> {
    let digits = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_lambda_s_callers_name_them() {
        let of = |text: &str| {
            let FunctionReference { name, qualifier } = FunctionReference::parse(text).ok()?;
            Some(format!("{name} {}", qualifier.unwrap_or_default()))
        };
        let pets = Some("pets ".to_owned());
        assert_eq!(of("pets"), pets);
        assert_eq!(of("123456789012:function:pets"), pets);
        assert_eq!(of("arn:aws:lambda:eu-west-1:123456789012:function:pets"), pets);
        assert_eq!(of("pets:live"), Some("pets live".to_owned()));
        assert_eq!(of("function:7"), Some("function 7".to_owned()));
        assert_eq!(
            of("arn:aws:lambda:us-east-1:000000000000:function:pets:$LATEST"),
            Some("pets $LATEST".to_owned())
        );
        for wrong in [
            "",
            ":",
            "a b",
            "pets:",
            "pets:a:b",
            "pets:$OTHER",
            "arn:aws:s3:us-east-1:000000000000:function:pets",
            "arn:aws:lambda:us-east-1:0:function:pets",
            "arn:aws:lambda:us-east-1:000000000000:function:",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_version_has_one_way_to_write_it() {
        for (text, number) in
            [("1", Some(1)), ("10", Some(10)), ("18446744073709551615", Some(u64::MAX))]
        {
            assert_eq!(version_number(text), number);
        }
        for wrong in ["", "0", "01", "007", "+1", "-1", "1a", "live", "18446744073709551616"] {
            assert_eq!(version_number(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_reference_or_an_error(text in "(arn|aws|lambda|function|:|[0-9]{12}|\\PC){0,12}") {
            if let Ok(reference) = FunctionReference::parse(&text) {
                proptest::prop_assert!(text.contains(&reference.name));
            }
        }
    }
}
