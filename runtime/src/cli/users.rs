//! `mayfly users`: who is in a user pool.

use std::{collections::BTreeMap, io::Write as _};

use clap::Subcommand;

use super::{ConfigArguments, Failure};
use crate::{
    config::{Config, UserPoolConfig},
    user_pool::UserPool,
};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Adds a user
    Add {
        /// The user's name
        name: String,
        /// An attribute, such as email=ada@example.com or custom:team=core
        #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
        attributes: Vec<(String, String)>,
        /// A group that the user belongs to
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        #[command(flatten)]
        pool: PoolArguments,
    },
    /// Lists users: name, id, groups and attributes
    List {
        #[command(flatten)]
        pool: PoolArguments,
    },
    /// Removes a user; tokens that it has stay valid until they expire
    Remove {
        /// The user's name
        name: String,
        #[command(flatten)]
        pool: PoolArguments,
    },
}

/// Which pool, of which configuration.
#[derive(clap::Args)]
pub struct PoolArguments {
    /// The user pool, [user_pool.NAME] of the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    #[command(flatten)]
    config: ConfigArguments,
}

impl PoolArguments {
    /// Opens the pool.
    pub fn open(&self) -> Result<UserPool, Failure> {
        let config = self.config.source(None)?.read();
        let config = config.map_err(|invalid| Failure::Problems(invalid.problems))?;
        let pool = chosen(&config, self.pool.as_deref())?;
        Ok(UserPool::open(&config.server.data, pool)?)
    }
}

fn chosen<'c>(
    config: &'c Config,
    name: Option<&str>,
) -> anyhow::Result<&'c std::sync::Arc<UserPoolConfig>> {
    let pools = &config.user_pools;
    let names = || pools.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        _ if pools.is_empty() => anyhow::bail!(
            "the configuration has no user pool\nhint: write [user_pool.people] and below it clients = [\"app\"]"
        ),
        Some(name) => pools.get(name).ok_or_else(|| {
            anyhow::anyhow!("there is no user pool {name:?}\nhint: the pools are {}", names())
        }),
        None if pools.len() > 1 => {
            anyhow::bail!("there are several user pools\nhint: choose one with --pool: {}", names())
        }
        None => pools.values().next().ok_or_else(|| anyhow::anyhow!("there is no user pool")),
    }
}

fn attribute(given: &str) -> Result<(String, String), String> {
    match given.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match arguments.command {
        Command::Add { name, attributes, groups, pool } => {
            let mut by_name = BTreeMap::new();
            for (attribute, value) in attributes {
                if by_name.insert(attribute.clone(), value).is_some() {
                    return Err(anyhow::anyhow!("--attribute {attribute} is given twice").into());
                }
            }
            let user = pool.open()?.add(&name, by_name, groups)?;
            writeln!(out, "{} {}", user.name, user.sub)?;
        }
        Command::List { pool } => {
            for user in pool.open()?.users()? {
                write!(out, "{} {}", user.name, user.sub)?;
                if !user.groups.is_empty() {
                    write!(out, " groups={}", user.groups.join(","))?;
                }
                for (name, value) in &user.attributes {
                    write!(out, " {name}={value:?}")?;
                }
                writeln!(out)?;
            }
        }
        Command::Remove { name, pool } => pool.open()?.remove(&name)?,
    }
    Ok(())
}
