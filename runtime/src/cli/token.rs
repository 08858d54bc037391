//! `mayfly token`: a token for a user of a pool.

use std::{io::Write as _, time::Duration};

use super::{Failure, users::PoolArguments};
use crate::{
    config::TOKEN_VALIDITY_MAX,
    user_pool::{Grant, TokenUse},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// The user, added with `mayfly users add`
    name: String,
    /// The app client that the token is for [default: the pool's first]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// What the token allows; makes it an access token
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "id")]
    scopes: Vec<String>,
    /// How long it is valid, such as 90s, 15m or 1h [default: as the pool says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires_in: Option<Duration>,
    /// An ID token, which says who the user is [default: unless there is a --scope]
    #[arg(long, conflicts_with = "access")]
    id: bool,
    /// An access token, which says what the user may do
    #[arg(long)]
    access: bool,
    #[command(flatten)]
    pool: PoolArguments,
}

/// Seconds, or a number with its unit.
fn duration(given: &str) -> Result<Duration, String> {
    let (number, seconds) = match given.strip_suffix(['s', 'm', 'h']) {
        Some(number) if given.ends_with('m') => (number, 60),
        Some(number) if given.ends_with('h') => (number, 3600),
        Some(number) => (number, 1),
        None => (given, 1),
    };
    let number: u64 = number.parse().map_err(|_| "write for example 90s, 15m or 1h".to_owned())?;
    let time = Duration::from_secs(number.saturating_mul(seconds));
    match time.is_zero() || time > TOKEN_VALIDITY_MAX {
        false => Ok(time),
        true => Err(format!("it is not within 1s and {}h", TOKEN_VALIDITY_MAX.as_secs() / 3600)),
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pool = arguments.pool.open()?;
    let user = pool.user(&arguments.name)?;
    let is_access = arguments.access || !arguments.scopes.is_empty();
    let token = pool.token(
        &user,
        &Grant {
            token_use: if is_access { TokenUse::Access } else { TokenUse::Id },
            client: arguments.client.as_deref(),
            scopes: &arguments.scopes,
            validity: arguments.expires_in,
        },
    )?;
    // The token alone, for a shell to take.
    writeln!(std::io::stdout().lock(), "{token}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("1", 1), ("90s", 90), ("15m", 900), ("24h", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "s",
            "25h",
            "-1h",
            "1d",
            "1.5h",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
