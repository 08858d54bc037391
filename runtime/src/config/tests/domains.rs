//! Domains with certificates, which are made here: no key is kept in files.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use super::{Config, Overrides, Problem, load};

/// What `mayfly cert` would have made for the documentation's examples.
pub fn write_certificates(folder: &Path) {
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("a folder");
    let names = ["api.example.com", "*.partners.example.com", "localhost"].map(str::to_owned);
    let mut params = CertificateParams::new(names).expect("names");
    for stem in ["api.example.com", "wildcard.partners.example.com", "localhost", "ada"] {
        write_pair(&certs, stem, &params);
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write_pair(&certs, "ca", &params);
}

/// `STEM.pem` and `STEM-key.pem`; the key itself.
fn write_pair(folder: &Path, stem: &str, params: &CertificateParams) -> String {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    fs::write(folder.join(format!("{stem}.pem")), certificate).expect("written");
    let file = folder.join(format!("{stem}-key.pem"));
    fs::write(&file, key.serialize_pem()).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    key.serialize_pem()
}

const DOMAIN: &str = "[[domain]]\nname = \"api.example.com\"\ncertificate = \"api.pem\"\nprivate_key = \"api-key.pem\"\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn pair(&self, stem: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(["api.example.com".to_owned()]).expect("a name");
        change(&mut params);
        write_pair(self.0.path(), stem, &params)
    }

    fn load(&self, text: &str) -> Result<Config, Vec<Problem>> {
        fs::write(self.0.path().join("gateway.toml"), text).expect("written");
        load(Some(Path::new("gateway.toml")), self.0.path(), &Overrides::default())
            .map_err(|invalid| invalid.problems)
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_domain_with_its_certificate_is_followed_and_never_shows_its_key() {
    let folder = Folder::new();
    let key = folder.pair("api", |_| {});
    let config = folder.load(DOMAIN).expect("valid");
    assert_eq!(texts(&config.warnings), [""; 0]);
    let domain = config.domains.find("api.example.com").expect("there");
    assert!(domain.tls.is_some() && config.domains.has_tls());
    for name in ["api.pem", "api-key.pem"] {
        assert!(config.files.contains(&folder.0.path().join(name)), "{:?}", config.files);
    }
    let secret = key.lines().nth(1).expect("a line");
    assert!(!format!("{config:?}").contains(secret));
    // The same files make the same configuration, others another one.
    assert!(folder.load(DOMAIN).is_ok_and(|again| again == config));
    folder.pair("api", |_| {});
    assert!(folder.load(DOMAIN).is_ok_and(|again| again != config));
}

#[test]
fn what_is_wrong_with_certificates_names_the_file() {
    let folder = Folder::new();
    folder.pair("api", |_| {});
    let key = folder.pair("other", |_| {});
    let text = DOMAIN.replace("api-key.pem", "other-key.pem");
    let problems = texts(&folder.load(&text).expect_err("a mismatch"));
    assert_eq!(
        problems,
        [
            "gateway.toml:4:15: domain.private_key: other-key.pem: it is not the key of api.pem\n  hint: `mayfly cert` makes one to try out"
        ]
    );
    folder.pair("api", |params| params.subject_alt_names.clear());
    let problems = texts(&folder.load(DOMAIN).expect_err("another name"));
    assert!(
        problems[0].starts_with("gateway.toml:3:1: domain.certificate is not for api.example.com")
    );
    let damaged = key.replace(key.lines().nth(1).expect("a line"), "AAAA");
    fs::write(folder.0.path().join("other-key.pem"), damaged).expect("written");
    let problems = texts(&folder.load(&text).expect_err("damaged"));
    assert!(problems[0].contains("other-key.pem: TLS cannot use its private key"), "{problems:?}");
    fs::remove_file(folder.0.path().join("api.pem")).expect("removed");
    let problems = texts(&folder.load(DOMAIN).expect_err("gone"));
    assert!(problems[0].starts_with("gateway.toml:3:15: api.pem cannot be read: "), "{problems:?}");
}

#[test]
fn what_is_not_right_is_a_warning() {
    let folder = Folder::new();
    folder.pair("api", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    folder.pair("clients", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let text = format!("{DOMAIN}mutual_tls = {{ truststore = \"clients.pem\" }}\n");
    let warnings = texts(&folder.load(&text).expect("valid").warnings);
    assert_eq!(
        warnings,
        [
            "gateway.toml:3:15: domain.certificate: api.pem expired on Jan  1 00:00:00 2002 GMT\n  hint: have it renewed",
            "gateway.toml:5:1: the default endpoint asks nobody for a certificate\n  hint: write disable_execute_api_endpoint = true, so that mutual TLS cannot be passed by",
        ]
    );
    let text = format!("disable_execute_api_endpoint = true\n{text}");
    assert_eq!(folder.load(&text).expect("valid").warnings.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let key = folder.0.path().join("api-key.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("a mode");
        let warnings = texts(&folder.load(&text).expect("valid").warnings);
        assert!(
            warnings.contains(&"gateway.toml:5:15: domain.private_key: others can read api-key.pem\n  hint: run chmod 600 api-key.pem".to_owned()),
            "{warnings:?}"
        );
    }
}

#[test]
fn no_domains_are_as_good_as_none() {
    let folder = Folder::new();
    assert!(folder.load("domain = []\n").expect("valid").domains.is_empty());
    let text = "disable_execute_api_endpoint = true\ndomain = []\n";
    let problems = texts(&folder.load(text).expect_err("there is nothing to call"));
    let wanted = "gateway.toml:1:1: disable_execute_api_endpoint leaves nothing to call";
    assert!(problems[0].starts_with(wanted), "{problems:?}");
}

#[test]
fn an_integration_s_certificate_tells_its_connections_from_others() {
    let folder = Folder::new();
    folder.pair("ada", |_| {});
    let key = folder.pair("bob", |_| {});
    let route = |path: &str, name: &str| {
        format!(
            "[[route]]\nroute = \"GET {path}\"\nintegration = {{ type = \"http_proxy\", uri = \"https://localhost/\", tls = {{ certificate = \"{name}.pem\", private_key = \"{name}-key.pem\" }} }}\n"
        )
    };
    let text = [route("/1", "ada"), route("/2", "bob"), route("/3", "ada")].concat();
    let config = folder.load(&text).expect("valid");
    let endpoints = config.routes.iter().filter_map(|route| route.integration.endpoint());
    let tls: Vec<_> = endpoints.map(|http| &http.tls).collect();
    assert_eq!(tls.len(), 3);
    assert!(tls[0] == tls[2] && tls[0] != tls[1]);
    assert!(!format!("{config:?}").contains(key.lines().nth(1).expect("a line")));
}
