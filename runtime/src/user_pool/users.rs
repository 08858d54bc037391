//! The users of a pool, in a file of its folder.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
};

use serde::{Deserialize, Serialize};

use super::{UserPool, UserPoolError, lock, replace};
use crate::config::UserPoolConfig;

/// The longest file of users, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most users of a pool.
const USERS_MAX: usize = 10_000;

/// The longest name of a user or a group, in characters: Cognito's.
const NAME_CHARS_MAX: usize = 128;

/// The longest value of an attribute, in characters: Cognito's.
const VALUE_CHARS_MAX: usize = 2048;

/// The most groups of a user: Cognito's.
const GROUPS_MAX: usize = 100;

/// The attributes that every user may have: Cognito's, of OpenID Connect.
const ATTRIBUTES: [&str; 19] = [
    "address",
    "birthdate",
    "email",
    "email_verified",
    "family_name",
    "gender",
    "given_name",
    "locale",
    "middle_name",
    "name",
    "nickname",
    "phone_number",
    "phone_number_verified",
    "picture",
    "preferred_username",
    "profile",
    "updated_at",
    "website",
    "zoneinfo",
];

/// A user of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, which does not change.
    pub name: String,
    /// The id by which tokens know the user.
    pub sub: String,
    /// Attributes by name.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Groups, in the order they were given.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    users: Vec<User>,
}

impl UserPool {
    /// All users, by name.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn users(&self) -> Result<Vec<User>, UserPoolError> {
        let file = self.folder.join("users.json");
        let at =
            |error: &dyn std::fmt::Display| self.failed(format!("{}: {error}", file.display()));
        let mut text = String::new();
        match fs::File::open(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text)),
        }
        .map_err(|error| at(&error))?;
        let users: Users = serde_json::from_str(&text).map_err(|error| at(&error))?;
        Ok(users.users)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// One that does not exist, and a file that cannot be read.
    pub fn user(&self, name: &str) -> Result<User, UserPoolError> {
        let found = self.users()?.into_iter().find(|user| user.name == name);
        found.ok_or_else(|| {
            self.failed(format!("there is no user {name:?}; add one with `mayfly users add`"))
        })
    }

    /// Adds a user, and gives it an id.
    ///
    /// # Errors
    /// One that exists, or that Cognito would not take; a file that cannot be
    /// written.
    pub fn add(
        &self,
        name: &str,
        attributes: BTreeMap<String, String>,
        groups: Vec<String>,
    ) -> Result<User, UserPoolError> {
        check_name(name).map_err(|why| self.failed(why))?;
        for (attribute, value) in &attributes {
            check_attribute(&self.config, attribute, value).map_err(|why| self.failed(why))?;
        }
        if groups.len() > GROUPS_MAX {
            return Err(self.failed(format!("a user has at most {GROUPS_MAX} groups")));
        }
        for group in &groups {
            check_group(group).map_err(|why| self.failed(why))?;
        }
        let sub = uuid::Uuid::new_v4().to_string();
        let user = User { name: name.to_owned(), sub, attributes, groups };
        self.change(|users| {
            if users.iter().any(|other| other.name == name) {
                return Err(self.failed(format!("there is a user {name:?} already")));
            }
            if users.len() >= USERS_MAX {
                return Err(self.failed(format!("it has {USERS_MAX} users, and takes no more")));
            }
            users.push(user.clone());
            users.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(())
        })?;
        Ok(user)
    }

    /// Removes a user. Tokens that it has stay valid until they expire, as in
    /// Cognito.
    ///
    /// # Errors
    /// One that does not exist, and a file that cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), UserPoolError> {
        self.change(|users| {
            let before = users.len();
            users.retain(|user| user.name != name);
            match users.len() < before {
                true => Ok(()),
                false => Err(self.failed(format!("there is no user {name:?}"))),
            }
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<User>) -> Result<(), UserPoolError>,
    ) -> Result<(), UserPoolError> {
        let _lock = lock(&self.folder).map_err(|error| self.failed(error))?;
        let mut users = self.users()?;
        change(&mut users)?;
        let text = serde_json::to_vec_pretty(&Users { users });
        let text = text.map_err(|error| self.failed(error))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(
                self.failed(format!("its users would take more than {FILE_BYTES_MAX} bytes"))
            );
        }
        let file = self.folder.join("users.json");
        replace(&self.folder, &file, &text).map_err(|error| self.failed(error))
    }
}

/// Why a user cannot be named so.
fn check_name(name: &str) -> Result<(), String> {
    check_word(name).map_err(|why| format!("a user cannot be named {name:?}: {why}"))
}

/// Why a group cannot be named so.
fn check_group(name: &str) -> Result<(), String> {
    check_word(name).map_err(|why| format!("a group cannot be named {name:?}: {why}"))
}

fn check_word(word: &str) -> Result<(), String> {
    let invisible = |c: char| c.is_whitespace() || c.is_control();
    match word.chars().count() {
        1..=NAME_CHARS_MAX if !word.contains(invisible) => Ok(()),
        _ => Err(format!("use 1 to {NAME_CHARS_MAX} characters, and no spaces")),
    }
}

/// Why users of the pool cannot have such an attribute.
fn check_attribute(pool: &UserPoolConfig, name: &str, value: &str) -> Result<(), String> {
    let known = match name.strip_prefix("custom:") {
        Some(custom) => pool.custom_attributes.iter().any(|own| own == custom),
        None => ATTRIBUTES.contains(&name),
    };
    if !known {
        let hint = match name.strip_prefix("custom:") {
            Some(custom) => format!("write custom_attributes = [{custom:?}] below the pool"),
            None => format!("the names are custom:NAME and {}", ATTRIBUTES.join(", ")),
        };
        return Err(format!("there is no attribute {name:?}; {hint}"));
    }
    if is_boolean(name) && !matches!(value, "true" | "false") {
        return Err(format!("{name} is true or false, not {value:?}"));
    }
    match value.chars().count() {
        ..=VALUE_CHARS_MAX => Ok(()),
        _ => Err(format!("the value of {name} has more than {VALUE_CHARS_MAX} characters")),
    }
}

/// Attributes that tokens have as booleans.
pub fn is_boolean(attribute: &str) -> bool {
    matches!(attribute, "email_verified" | "phone_number_verified")
}
