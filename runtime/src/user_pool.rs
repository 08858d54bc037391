//! User pools of this machine, for prototypes: users without passwords, and
//! tokens with the claims of Cognito's, signed with a key of the pool's own.
//!
//! Each pool is a folder below `data`: its private key, which nobody else may
//! read, and its users. Commands change it while a gateway runs; only the key
//! matters to that, since tokens tell all about their user.

mod tokens;
mod users;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey as _, LineEnding},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::{Value, json};

use crate::{
    config::UserPoolConfig,
    jwt::{KeySet, Signer},
};
pub use tokens::{Grant, TokenUse};
pub use users::User;

/// Cognito's.
const KEY_BITS: usize = 2048;

/// The longest private key that is read, in bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// The pools of a configuration.
#[derive(Debug, Clone, Default)]
pub struct UserPools(BTreeMap<String, Arc<UserPool>>);

/// A pool with its key.
#[derive(Debug)]
pub struct UserPool {
    config: Arc<UserPoolConfig>,
    folder: PathBuf,
    signer: Signer,
    /// What verifies its tokens.
    pub keys: Arc<KeySet>,
}

/// Why a pool cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the user pool {pool:?}: {reason}")]
pub struct UserPoolError {
    pool: String,
    reason: String,
}

impl UserPools {
    /// Opens the pools in the folder `data`; those that are new get a key.
    ///
    /// # Errors
    /// A key or a folder that cannot be used.
    pub fn open(
        data: &Path,
        configs: &BTreeMap<String, Arc<UserPoolConfig>>,
    ) -> Result<Self, UserPoolError> {
        let open = |(name, config): (&String, &Arc<UserPoolConfig>)| {
            Ok((name.clone(), Arc::new(UserPool::open(data, config)?)))
        };
        configs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The pool of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<UserPool>> {
        self.0.get(name)
    }
}

impl UserPool {
    /// Opens a pool in the folder `data`; a new one gets a key.
    ///
    /// # Errors
    /// A key or a folder that cannot be used.
    pub fn open(data: &Path, config: &Arc<UserPoolConfig>) -> Result<Self, UserPoolError> {
        let failed = |reason: String| UserPoolError { pool: config.name.clone(), reason };
        let folder = data.join("user-pools").join(&config.name);
        let at = |path: &Path, error: &dyn std::fmt::Display| {
            failed(format!("{}: {error}", path.display()))
        };
        create_private(&folder).map_err(|error| at(&folder, &error))?;
        let file = folder.join("key.pem");
        let pem = key(&folder, &file).map_err(|error| at(&file, &error))?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
            .map_err(|error| at(&file, &format!("it is no private key in PEM: {error}")))?;
        let signer = Signer::new(der.secret_pkcs8_der()).map_err(|error| at(&file, &error))?;
        let keys = KeySet::parse(&signer.key_set().to_string()).map_err(|why| at(&file, &why))?;
        Ok(Self { config: Arc::clone(config), folder, signer, keys: Arc::new(keys) })
    }

    /// `/.well-known/jwks.json` below the issuer.
    pub fn key_set(&self) -> Value {
        self.signer.key_set()
    }

    /// `/.well-known/openid-configuration` below the issuer.
    pub fn discovery(&self) -> Value {
        let issuer = &self.config.issuer;
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
        })
    }

    fn failed(&self, reason: impl ToString) -> UserPoolError {
        UserPoolError { pool: self.config.name.clone(), reason: reason.to_string() }
    }
}

/// The pool's private key; one that is made now where there is none. Of two
/// that begin at once, one makes it.
fn key(folder: &Path, file: &Path) -> io::Result<Vec<u8>> {
    let _lock = lock(folder)?;
    match fs::File::open(file) {
        Ok(open) => {
            let mut pem = Vec::new();
            open.take(KEY_BYTES_MAX).read_to_end(&mut pem)?;
            Ok(pem)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS);
            let pem = made.map_err(io::Error::other)?.to_pkcs8_pem(LineEnding::LF);
            let pem = pem.map_err(io::Error::other)?.as_bytes().to_vec();
            replace(folder, file, &pem)?;
            Ok(pem)
        }
        Err(error) => Err(error),
    }
}

/// Keeps others from changing the pool, until it is dropped.
fn lock(folder: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// A file that appears whole or not at all, and that only its owner reads.
fn replace(folder: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests;
