//! `[function.NAME.url]`: an endpoint of a function's own.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html>

use super::CorsConfig;

/// A function URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionUrlConfig {
    /// Who may call it.
    pub auth: UrlAuth,
    /// What pages of other origins may do; none answers no preflights.
    pub cors: Option<CorsConfig>,
    /// How answers are sent.
    pub invoke_mode: InvokeMode,
}

/// Who may call a function URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlAuth {
    /// Anybody.
    None,
    /// Those who sign, as far as their policies go.
    Iam,
}

/// How a function URL sends answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokeMode {
    /// Whole.
    Buffered,
    /// While they come.
    ResponseStream,
}

impl UrlAuth {
    /// Lambda's words for them.
    pub const WORDS: [&str; 2] = ["NONE", "AWS_IAM"];

    /// Lambda's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => Self::WORDS[0],
            Self::Iam => Self::WORDS[1],
        }
    }

    /// That of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::None, Self::Iam].into_iter().find(|own| own.word() == word)
    }
}

impl InvokeMode {
    /// Lambda's words for them.
    pub const WORDS: [&str; 2] = ["BUFFERED", "RESPONSE_STREAM"];

    /// Lambda's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Buffered => Self::WORDS[0],
            Self::ResponseStream => Self::WORDS[1],
        }
    }

    /// That of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Buffered, Self::ResponseStream].into_iter().find(|own| own.word() == word)
    }
}
