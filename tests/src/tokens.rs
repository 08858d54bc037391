//! Tokens and key sets of an independent library, PyJWT.

use serde_json::{Value, json};

use crate::python;

/// Makes a key for each name and algorithm, signs tokens and prints both.
const SCRIPT: &str = r#"
import json, sys, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

given = json.load(sys.stdin)
MAKE = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RSA1024": lambda: rsa.generate_private_key(65537, 1024),
}
keys, jwks = {}, {}
for name, algorithm in given["keys"].items():
    key = MAKE.get(algorithm, lambda: rsa.generate_private_key(65537, 2048))()
    algorithm = "RS256" if algorithm == "RSA1024" else algorithm
    jwk = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    keys[name] = (key, algorithm)
    jwks[name] = {**jwk, "kid": name, "use": "sig", "alg": algorithm}
now = int(time.time())
tokens = {}
for name, token in given["tokens"].items():
    claims = {"iat": now, "exp": now + 3600, **token.get("claims", {})}
    for claim in ("exp", "nbf", "iat"):
        # Small numbers are seconds from now.
        if isinstance(claims.get(claim), (int, float)) and abs(claims[claim]) < 1e8:
            claims[claim] = now + claims[claim]
    claims = {claim: value for claim, value in claims.items() if value is not None}
    key, algorithm = keys[token["key"]]
    algorithm = token.get("algorithm", algorithm)
    if algorithm == "none":
        key = None
    if algorithm.startswith("HS"):
        # The public key as a shared secret.
        key = json.dumps(jwks[token["key"]])
    headers = {"kid": token["key"], **token.get("headers", {})}
    headers = {header: value for header, value in headers.items() if value is not None}
    tokens[name] = jwt.encode(claims, key, algorithm=algorithm, headers=headers)
json.dump({"jwks": jwks, "tokens": tokens}, sys.stdout)
"#;

/// What PyJWT made.
pub struct Tokens(Value);

impl Tokens {
    /// `keys` are algorithms by name; `tokens` have a `key`, and perhaps
    /// `claims`, `headers` and an `algorithm`. Times are in seconds from now.
    ///
    /// None where there is no Python, which is said of the test `name`.
    pub fn new(name: &str, keys: &Value, tokens: &Value) -> Option<Self> {
        python::run(name, SCRIPT, &json!({ "keys": keys, "tokens": tokens })).map(Self)
    }

    /// A token by its name.
    pub fn get(&self, name: &str) -> &str {
        self.0["tokens"][name].as_str().unwrap_or_else(|| panic!("no token {name}"))
    }

    /// A set of the public keys of these names.
    pub fn key_set(&self, names: &[&str]) -> Value {
        let keys: Vec<&Value> = names.iter().map(|name| &self.0["jwks"][name]).collect();
        assert!(keys.iter().all(|key| key.is_object()), "{names:?}");
        json!({ "keys": keys })
    }
}
