//! The URI of an HTTP integration: text with `{parameter}` of the path and
//! `${stageVariables.name}`.

use std::fmt;

use http::Uri;

/// A URI with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate(pub Vec<UriPiece>);

impl fmt::Display for UriTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            UriPiece::Literal(text) => f.write_str(text),
            UriPiece::Parameter(name) => write!(f, "{{{name}}}"),
            UriPiece::StageVariable(name) => write!(f, "${{stageVariables.{name}}}"),
        })
    }
}

/// A part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UriPiece {
    /// Text.
    Literal(String),
    /// `{name}` or `{name+}`: a path parameter of the integration request.
    Parameter(String),
    /// `${stageVariables.name}`
    StageVariable(String),
}

/// What is wrong with a URI, and what to write.
type Wrong = (String, &'static str);

impl UriTemplate {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '$']) {
            let (before, found) = rest.split_at(at);
            let (open, is_variable) = match found.strip_prefix("${") {
                Some(open) => (open, true),
                None if found.starts_with('$') => {
                    pieces.push(UriPiece::Literal(format!("{before}$")));
                    rest = &found[1..];
                    continue;
                }
                None => (&found[1..], false),
            };
            let (inner, after) = open
                .split_once('}')
                .ok_or_else(|| (format!("{text:?} has a brace without its end"), "write {name}"))?;
            if !before.is_empty() {
                pieces.push(UriPiece::Literal(before.to_owned()));
            }
            pieces.push(placeholder(text, inner, is_variable)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(UriPiece::Literal(rest.to_owned()));
        }
        let template = Self(pieces);
        template.check(text)?;
        Ok(template)
    }

    /// The names of its path parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            UriPiece::Parameter(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The names of its stage variables.
    pub fn stage_variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            UriPiece::StageVariable(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a sample of it is an absolute URI, and parameters stand where
    /// they can: after the host.
    fn check(&self, text: &str) -> Result<(), Wrong> {
        let hint = "write for example \"https://example.com/pets/{id}\"";
        let mut sample = String::new();
        for piece in &self.0 {
            match piece {
                UriPiece::Literal(literal) => sample.push_str(literal),
                UriPiece::StageVariable(_) if sample.is_empty() => sample.push_str("http://v"),
                UriPiece::StageVariable(_) => sample.push('v'),
                UriPiece::Parameter(name) => {
                    let rest = sample.split_once("://").map_or("", |(_, rest)| rest);
                    if !rest.contains('/') {
                        let message = format!("{text:?} has {{{name}}} before its path");
                        return Err((message, hint));
                    }
                    sample.push('p');
                }
            }
        }
        // A stage variable may bring the scheme, or what follows it.
        let sample = match sample.split_once("://") {
            Some(_) => sample,
            None => return Err((format!("{text:?} is not an absolute URI"), hint)),
        };
        check_absolute(&sample).map_err(|why| (format!("{text:?} {why}"), hint))?;
        if has_dot_segments(&sample) {
            return Err((format!("{text:?} has a dot segment"), "write the path that is meant"));
        }
        Ok(())
    }
}

/// Whether an integration can call it.
///
/// # Errors
/// Why not.
pub fn check_absolute(text: &str) -> Result<(), String> {
    let uri: Uri = text.parse().map_err(|error| format!("is not a URI: {error}"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(other) => return Err(format!("has the scheme {other:?}, not http or https")),
        None => return Err("is not an absolute URI".to_owned()),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("has a user name, which an integration does not send".to_owned());
    }
    match uri.host() {
        None | Some("") => Err("has no host".to_owned()),
        Some(_) => Ok(()),
    }
}

/// Whether `..` or `.` leads out of the path.
pub fn has_dot_segments(uri: &str) -> bool {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

fn placeholder(text: &str, inner: &str, is_variable: bool) -> Result<UriPiece, Wrong> {
    let valid = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:$".contains(c))
    };
    if is_variable {
        let name = inner.strip_prefix("stageVariables.").filter(|name| valid(name));
        let name = name.ok_or_else(|| {
            (format!("{text:?}: ${{{inner}}} is unknown"), "write ${stageVariables.name}")
        })?;
        return Ok(UriPiece::StageVariable(name.to_owned()));
    }
    let name = inner.strip_suffix('+').unwrap_or(inner);
    if !valid(name) {
        let hint = "write the name of a path parameter, as in {id}";
        return Err((format!("{text:?}: {{{inner}}} names no parameter"), hint));
    }
    Ok(UriPiece::Parameter(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_after_the_host() {
        let template = UriTemplate::parse("https://${stageVariables.host}/a/{id}/{rest+}?q=$1");
        let pieces = template.expect("a template").0;
        let literal = |text: &str| UriPiece::Literal(text.to_owned());
        assert_eq!(
            pieces,
            [
                literal("https://"),
                UriPiece::StageVariable("host".to_owned()),
                literal("/a/"),
                UriPiece::Parameter("id".to_owned()),
                literal("/"),
                UriPiece::Parameter("rest".to_owned()),
                literal("?q=$"),
                literal("1"),
            ]
        );
        assert!(UriTemplate::parse("${stageVariables.url}/a").is_ok());
        for wrong in [
            "",
            "/path",
            "ftp://host/",
            "http://{host}/",
            "http://a@host/",
            "http://host/{",
            "http://host/{}",
            "http://host/${x}",
            "http:///path",
            "http://host/a/../b",
            "http://host/.",
            "http://host/a b",
        ] {
            assert!(UriTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "(http://|h|/|[{}$+?]|stageVariables[.]|\\PC){0,12}") {
            drop(UriTemplate::parse(&text));
        }
    }
}
