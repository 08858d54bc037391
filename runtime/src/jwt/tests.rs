//! Keys and tokens that an attacker would try.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::prelude::*;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use super::*;

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// An Ed25519 key, its JWK and what signs with it.
struct Edwards(Ed25519KeyPair);

impl Edwards {
    fn new() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self(Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("the key"))
    }

    fn jwk(&self) -> Value {
        let x = BASE64.encode(self.0.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x })
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = BASE64.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn set(keys: &[Value]) -> Result<KeySet, String> {
    KeySet::parse(&json!({ "keys": keys }).to_string())
}

fn verify(text: &str, keys: &KeySet) -> Result<Claims, Refusal> {
    Token::read(text)?.verify(keys)
}

#[test]
fn the_key_says_which_algorithm_it_is_for() {
    let key = Edwards::new();
    let keys = set(&[key.jwk()]).expect("a set");
    let claims = json!({ "sub": "ada" });
    let good = json!({ "alg": "EdDSA", "kid": "ed", "typ": "JWT" });
    let token = key.token(&good, &claims);
    assert_eq!(verify(&token, &keys).map(|claims| claims.text("sub") == Some("ada")), Ok(true));
    assert!(verify(&format!("bEARER  {token} "), &keys).is_ok());

    for (header, refusal) in [
        (json!({ "alg": "none", "kid": "ed" }), Refusal::Algorithm),
        (json!({ "alg": "HS256", "kid": "ed" }), Refusal::Algorithm),
        (json!({ "alg": "RS256", "kid": "ed" }), Refusal::KeyAlgorithm),
        (json!({ "alg": "ES256", "kid": "ed" }), Refusal::KeyAlgorithm),
        (json!({ "alg": "EdDSA", "kid": "other" }), Refusal::UnknownKey),
        (json!({ "alg": "EdDSA" }), Refusal::NoKey),
        (json!({ "alg": "EdDSA", "kid": "" }), Refusal::NoKey),
        // Its own key is not believed.
        (json!({ "alg": "EdDSA", "kid": "x", "jwk": key.jwk() }), Refusal::UnknownKey),
        (json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false }), Refusal::Critical),
        (json!({ "alg": "EdDSA", "kid": 7 }), Refusal::Algorithm),
        (json!({ "kid": "ed" }), Refusal::Algorithm),
    ] {
        let refused = verify(&key.token(&header, &claims), &keys).map(drop);
        assert_eq!(refused, Err(refusal), "{header}");
    }
}

#[test]
fn whatever_is_changed_breaks_the_signature() {
    let key = Edwards::new();
    let keys = set(&[key.jwk()]).expect("a set");
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let token = key.token(&header, &json!({ "sub": "ada" }));
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("{token}") };
    let other = encode(&json!({ "sub": "eve" }));
    for (text, refusal) in [
        (format!("{head}.{other}.{signature}"), Refusal::Signature),
        (format!("{head}.{body}.{}", BASE64.encode([0; 64])), Refusal::Signature),
        (format!("{head}.{body}.{}", BASE64.encode([0; 63])), Refusal::Signature),
        (format!("{head}.{body}."), Refusal::Malformed),
        (format!("{head}.{body}"), Refusal::Malformed),
        (format!("{token}.{body}"), Refusal::Malformed),
        (format!("{head}.{body}.{signature}="), Refusal::Malformed),
        (format!("{head}.{body}.{signature}!"), Refusal::Malformed),
        (format!("!{head}.{body}.{signature}"), Refusal::Malformed),
        ("Bearer".to_owned(), Refusal::Missing),
        ("  ".to_owned(), Refusal::Missing),
        (format!("Basic {token}"), Refusal::Malformed),
        (format!("{head}.{}.{signature}", "A".repeat(20_000)), Refusal::TooLong),
    ] {
        assert_eq!(verify(&text, &keys).map(drop), Err(refusal), "{text}");
    }
    // A signed text that is no object says nothing.
    let list = key.token(&header, &json!(["sub"]));
    assert_eq!(verify(&list, &keys).map(drop), Err(Refusal::Malformed));
}

#[test]
fn keys_of_other_kinds_and_uses_are_left_out() {
    let key = Edwards::new();
    let with = |name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    for (jwk, why) in [
        (json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0" }), "shared secret"),
        (
            json!({ "kty": "RSA", "kid": "a", "n": BASE64.encode([255; 128]), "e": "AQAB" }),
            "1024 bits",
        ),
        (
            json!({ "kty": "RSA", "kid": "a", "n": BASE64.encode([255; 1025]), "e": "AQAB" }),
            "8200 bits",
        ),
        (json!({ "kty": "RSA", "kid": "a", "n": "", "e": "AQAB" }), "0 bits"),
        (json!({ "kty": "RSA", "kid": "a", "n": "!", "e": "AQAB" }), "base64url"),
        (
            json!({ "kty": "EC", "kid": "a", "crv": "P-521", "x": "AA", "y": "AA" }),
            "P-256 and P-384",
        ),
        (json!({ "kty": "EC", "kid": "a", "crv": "P-256", "x": "AA", "y": "AA" }), "32 bytes"),
        (json!({ "kty": "OKP", "kid": "a", "crv": "X25519", "x": "AA" }), "keys[0]"),
        (json!({ "kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "AA" }), "32 bytes"),
        (json!({ "kty": "new", "kid": "a" }), "kty"),
        (json!({ "kid": "a" }), "keys[0]"),
        (json!(7), "no JSON Web Key"),
        (with("alg", json!("RS256")), "not of its kty"),
        (with("alg", json!("HS256")), "not of its kty"),
        (with("kid", json!("")), "no kid"),
        (with("kid", json!("k".repeat(300))), "kid of more"),
    ] {
        let error = set(std::slice::from_ref(&jwk)).expect_err("unusable");
        assert!(error.contains(why), "{jwk}: {error}");
        // The others are used all the same.
        let both = set(&[jwk, with("key_ops", json!(["verify"]))]).expect("one is left");
        assert_eq!((both.unusable.len(), both.has("ed"), both.has("a")), (1, true, false));
    }
    for jwk in [with("use", json!("enc")), with("key_ops", json!(["sign"]))] {
        assert!(set(std::slice::from_ref(&jwk)).expect_err("none").contains("is for signatures"));
        let both = set(&[jwk, key.jwk()]).expect("one is left");
        assert_eq!((both.unusable.len(), both.has("ed")), (0, true));
    }
    assert!(set(&[]).is_err());
    let many: Vec<Value> = (0..101).map(|_| key.jwk()).collect();
    assert!(set(&many).expect_err("too many").contains("101 keys"));
    for text in [
        "",
        "[]",
        "{}",
        "{\"keys\": 7}",
        &format!("{{\"keys\": [\"{}\"]}}", "a".repeat(KEY_SET_BYTES_MAX)),
    ] {
        assert!(KeySet::parse(text).is_err());
    }
}

#[test]
fn keys_on_curves_and_of_rsa_verify() {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).expect("the key");
    let point = pair.public_key().as_ref();
    let keys = set(&[json!({
        "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256",
        "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]),
    })])
    .expect("a set");
    let header = json!({ "alg": "ES256", "kid": "ec" });
    let message = format!("{}.{}", encode(&header), encode(&json!({ "sub": "ada" })));
    let signature = pair.sign(&random, message.as_bytes()).expect("signed");
    assert!(verify(&format!("{message}.{}", BASE64.encode(signature)), &keys).is_ok());

    let rsa = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
    let der = rsa::pkcs8::EncodePrivateKey::to_pkcs8_der(&rsa).expect("DER");
    let signer = Signer::new(der.as_bytes()).expect("a key");
    let keys = KeySet::parse(&signer.key_set().to_string()).expect("a set");
    let claims = json!({ "sub": "ada" });
    let token = signer.sign(claims.as_object().expect("an object")).expect("signed");
    assert!(verify(&token, &keys).is_ok());
    // The same signature under the name of another padding or digest.
    for other in ["RS384", "RS512", "PS256"] {
        let (head, rest) = token.split_once('.').expect("parts");
        let head = BASE64.decode(head).expect("base64");
        let head = String::from_utf8(head).expect("UTF-8").replace("RS256", other);
        let forged = format!("{}.{rest}", BASE64.encode(head));
        assert!(verify(&forged, &keys).is_err(), "{other}");
    }
    // A shared secret that is the public key.
    let public = signer.key_set()["keys"][0]["n"].as_str().expect("n").to_owned();
    let kid = &signer.key_set()["keys"][0]["kid"];
    let message = format!("{}.{}", encode(&json!({ "alg": "HS256", "kid": kid })), encode(&claims));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
    let mac = BASE64.encode(ring::hmac::sign(&secret, message.as_bytes()));
    assert_eq!(verify(&format!("{message}.{mac}"), &keys).map(drop), Err(Refusal::Algorithm));
    assert!(!format!("{signer:?}{keys:?}").contains(&BASE64.encode(&der.as_bytes()[100..130])));
}

/// What an authorizer takes at a time.
fn rules(audience: &str) -> Rules {
    let (issuer, clock_skew) = ("i".to_owned(), Duration::from_secs(5));
    Rules { issuer, audience: vec![audience.to_owned()], clock_skew }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A token of the second 1000 that was verified.
fn verified(claims: &Value) -> Verified {
    let key = Edwards::new();
    let keys = Arc::new(set(&[key.jwk()]).expect("a set"));
    let token = key.token(&json!({ "alg": "EdDSA", "kid": "ed" }), claims);
    let claims = verify(&token, &keys).expect("claims");
    let times = claims.check(&rules("app"), at(1000)).expect("times");
    Verified::new(claims, times, Form::Jwt, keys)
}

#[test]
fn what_was_verified_is_held_to_its_times() {
    let claims = json!({ "iss": "i", "aud": "app", "exp": 2000, "nbf": 900, "iat": 950 });
    let known = verified(&claims);
    assert_eq!(known.check(at(1000)), Ok(()));
    assert_eq!(known.check(at(2004)), Ok(()));
    assert_eq!(known.check(at(2005)), Err(Refusal::Expired));
    // Clocks may be set back.
    assert_eq!(known.check(at(944)), Err(Refusal::IssuedInFuture));
    assert_eq!(known.check(at(894)), Err(Refusal::NotYetValid));
    assert!(!format!("{known:?}").contains("app"));
}

#[test]
fn a_verified_token_is_found_by_all_of_its_text() {
    let tokens = VerifiedTokens::new();
    let far = json!({ "iss": "i", "aud": "app", "exp": 1e12 });
    let known = Arc::new(verified(&far));
    tokens.remember(b"head.claims.signature", &known);
    assert!(tokens.get(b"head.claims.signature").is_some_and(|own| Arc::ptr_eq(&own, &known)));
    // What is hashed of a text is its end.
    let end = "s".repeat(100);
    tokens.remember(format!("one{end}").as_bytes(), &known);
    for other in ["", "e", "signature", "Bearer head.claims.signature", "two", "head"] {
        assert!(tokens.get(other.as_bytes()).is_none(), "{other}");
        assert!(tokens.get(format!("{other}{end}").as_bytes()).is_none(), "{other}");
    }
    // One that is over is not kept.
    let over = json!({ "iss": "i", "aud": "app", "exp": 1100 });
    tokens.remember(b"over", &Arc::new(verified(&over)));
    assert!(tokens.get(b"over").is_none());
}

#[test]
fn what_is_remembered_of_tokens_is_bounded() {
    let tokens = VerifiedTokens::new();
    let small = Arc::new(verified(&json!({ "iss": "i", "aud": "app", "exp": 1e12 })));
    for index in 0..100_000 {
        tokens.remember(format!("token {index}").as_bytes(), &small);
    }
    let (count, bytes) = tokens.held();
    assert!(bytes <= 16 * 1024 * 1024, "{bytes} bytes");
    assert!((1000..32 * 1024).contains(&count), "{count} tokens");
    // Few bytes of a token may be many in memory.
    let many = vec![json!([]); 3000];
    let large = json!({ "iss": "i", "aud": "app", "exp": 1e12, "many": many });
    let large = Arc::new(verified(&large));
    let tokens = VerifiedTokens::new();
    for index in 0..1000 {
        tokens.remember(format!("token {index}").as_bytes(), &large);
    }
    let (count, bytes) = tokens.held();
    assert!(bytes <= 16 * 1024 * 1024, "{bytes} bytes");
    assert!((1..100).contains(&count), "{count} tokens");
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_refused(text in "(Bearer |[.]|[A-Za-z0-9_-]{0,6}|eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ|\\PC){0,8}") {
        if let Ok(token) = Token::read(&text) {
            let keys = set(&[Edwards::new().jwk()]).expect("a set");
            prop_assert!(token.verify(&keys).is_err());
        }
    }

    #[test]
    fn any_text_is_a_set_or_an_error(text in "([{}\\[\\]:,]|\"(keys|kty|kid|RSA|EC|n|e|x|crv)\"|\\PC){0,30}") {
        drop(KeySet::parse(&text));
    }
}
