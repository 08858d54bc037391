//! `mayfly cert`: certificates to try things out with, signed by an authority
//! of one's own.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::Failure;
use crate::{
    config::domain_name,
    tls::{Facts, Identity},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// What the certificate is for: names of hosts, such as localhost or
    /// '*.example.com', and IP addresses; with --client, the client's name
    #[arg(required = true)]
    names: Vec<String>,
    /// Where the files are
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// Makes a client's certificate, for mutual TLS
    #[arg(long)]
    client: bool,
    /// Overwrites a certificate and a key of this name
    #[arg(long)]
    force: bool,
}

/// How long a certificate is good: as long as strict clients take one.
const DAYS: u64 = 825;
/// How long the authority is.
const AUTHORITY_DAYS: u64 = 3650;
/// Clocks of other machines may be behind.
const SKEW: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest name of a client, in characters: X.520's for common names.
const CLIENT_CHARS_MAX: usize = 64;

const AUTHORITY: &str = "ca";

/// A certificate and a key, by the files they are in.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(folder: &Path, stem: &str) -> Self {
        Self {
            certificate: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}-key.pem")),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let names = names(arguments)?;
    let files = Files::new(&arguments.out, &stem(&names));
    // Before anything is written.
    for file in [&files.certificate, &files.key] {
        ensure_free(file, arguments.force)?;
    }
    make_folder(&arguments.out)?;
    let authority_files = Files::new(&arguments.out, AUTHORITY);
    let authority = authority(&authority_files)?;
    let key = KeyPair::generate()?;
    let params = if arguments.client { client(&names[0]) } else { server(&names)? };
    let certificate = params.signed_by(&key, &authority)?;
    write_secret(&files.key, &key.serialize_pem(), arguments.force)?;
    fs::write(&files.certificate, certificate.pem())
        .with_context(|| format!("{} cannot be written", files.certificate.display()))?;
    let text = match arguments.client {
        true => client_text(&files, &authority_files),
        false => server_text(&names, &files, &authority_files),
    };
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

fn names(arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    if arguments.client {
        let [name] = arguments.names.as_slice() else {
            anyhow::bail!("a client has one name (hint: make one certificate after the other)");
        };
        let length = name.chars().count();
        ensure!(
            (1..=CLIENT_CHARS_MAX).contains(&length) && !name.contains(char::is_control),
            "a client cannot be named {name:?} (hint: use 1 to {CLIENT_CHARS_MAX} characters)"
        );
        return Ok(vec![name.clone()]);
    }
    let mut names: Vec<String> = Vec::new();
    for given in &arguments.names {
        let name = domain_name(given).with_context(|| {
            format!(
                "{given:?} is neither a host's name nor an IP address (hint: no scheme, no port, other letters in punycode, and two labels after \"*.\")"
            )
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// What a name is called as a file.
fn stem(names: &[String]) -> String {
    let first = names.first().map_or("", String::as_str).replace("*.", "wildcard.");
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let stem: String = first.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let stem = stem.trim_start_matches('.');
    // The authority's files, and keys of others, are called so already.
    match stem.is_empty() || stem == AUTHORITY || stem.ends_with("-key") {
        true => format!("{stem}-own"),
        false => stem.to_owned(),
    }
}

fn ensure_free(file: &Path, force: bool) -> anyhow::Result<()> {
    ensure!(
        force || fs::symlink_metadata(file).is_err(),
        "{} exists already; nothing was written (hint: --force overwrites it, --out takes another folder)",
        file.display()
    );
    Ok(())
}

/// A new folder keeps itself out of git: there are keys in it.
fn make_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(folder.join(".gitignore"), "*\n"))
        .with_context(|| format!("the folder {} cannot be made", folder.display()))
}

/// The authority of the folder; it is made once.
fn authority(files: &Files) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let there = |file: &Path| fs::symlink_metadata(file).is_ok();
    let (certificate, key) = (&files.certificate, &files.key);
    let both = format!("{} and {}", certificate.display(), key.display());
    if !there(certificate) && !there(key) {
        let own = KeyPair::generate()?;
        let params = authority_params()?;
        let made = params.self_signed(&own)?;
        write_secret(key, &own.serialize_pem(), false)?;
        fs::write(certificate, made.pem())
            .with_context(|| format!("{} cannot be written", certificate.display()))?;
        return Ok(Issuer::new(params, own));
    }
    let hint =
        "(hint: remove both, and a new authority is made; who trusts the old one has to be told)";
    let read = |file: &Path| {
        fs::read_to_string(file)
            .with_context(|| format!("{} cannot be read {hint}", file.display()))
    };
    let (chain, secret) = (read(certificate)?, read(key)?);
    // Why may quote what is in the files.
    let identity = Identity::parse(&chain, &secret).ok();
    let identity = identity.with_context(|| format!("{both} are no authority {hint}"))?;
    let Facts { is_ca, .. } = identity.facts;
    ensure!(is_ca, "{} is not a certificate authority's {hint}", certificate.display());
    if let Some(when) = identity.facts.out_of_time() {
        anyhow::bail!("{} {when} {hint}", certificate.display());
    }
    let own = KeyPair::from_pem(&secret).ok();
    let own = own.with_context(|| format!("{} cannot sign {hint}", key.display()))?;
    Issuer::from_ca_cert_pem(&chain, own).with_context(|| format!("{both} cannot sign {hint}"))
}

fn authority_params() -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name = common_name("Mayfly local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    set_time(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn server(names: &[String]) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name(names.first().map_or("", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_time(&mut params, DAYS);
    Ok(params)
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    set_time(&mut params, DAYS);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut own = DistinguishedName::new();
    own.push(DnType::CommonName, name.chars().take(CLIENT_CHARS_MAX).collect::<String>());
    own
}

fn set_time(params: &mut CertificateParams, days: u64) {
    let now = SystemTime::now();
    params.not_before = (now - SKEW).into();
    params.not_after = (now + DAY * u32::try_from(days).unwrap_or(u32::MAX)).into();
}

/// Writes a key so that nobody else ever could have read it.
fn write_secret(file: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        if force && fs::symlink_metadata(file).is_ok() {
            // The old one may be open to others, or a link.
            fs::remove_file(file)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        options.open(file)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

fn server_text(names: &[String], files: &Files, authority: &Files) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let ca = authority.certificate.display();
    let mut text = format!(
        "{certificate} is the certificate for {}, {key} its private key.\nFor gateway.toml:\n",
        names.join(", ")
    );
    for name in names {
        // Writing to a string never fails.
        let _ = write!(
            text,
            "\n[[domain]]\nname = {name:?}\ncertificate = {:?}\nprivate_key = {:?}\n",
            files.certificate, files.key
        );
    }
    let first = names.first().map_or("localhost", String::as_str).replace("*.", "any.");
    let host = if first.contains(':') { format!("[{first}]") } else { first.clone() };
    let resolve = match first == "localhost" || first.parse::<IpAddr>().is_ok() {
        true => String::new(),
        false => format!("--resolve {host}:3000:127.0.0.1 "),
    };
    let _ = write!(
        text,
        "\nClients have to trust {ca}:\n  curl --cacert {ca} {resolve}https://{host}:3000/\n"
    );
    text
}

fn client_text(files: &Files, authority: &Files) -> String {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let ca = authority.certificate.display();
    format!(
        "{certificate} is the client's certificate, {key} its private key.\nFor a [[domain]] of gateway.toml:\n\n\
         mutual_tls = {{ truststore = {:?} }}\n\n\
         The client shows it:\n  curl --cacert {ca} --cert {certificate} --key {key} https://localhost:3000/\n",
        authority.certificate
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls;

    #[test]
    fn files_are_called_like_what_they_are_for() {
        let stem = |name: &str| stem(&[name.to_owned()]);
        assert_eq!(stem("api.example.com"), "api.example.com");
        assert_eq!(stem("*.example.com"), "wildcard.example.com");
        assert_eq!(stem("::1"), "--1");
        assert_eq!(stem("../../etc/passwd"), "-..-etc-passwd");
        assert_eq!(stem("Ada Lovelace"), "Ada-Lovelace");
        assert_eq!(stem("ca"), "ca-own");
        assert_eq!(stem("ca-key"), "ca-key-own");
        assert_eq!(stem(".."), "-own");
    }

    #[test]
    fn an_authority_signs_what_its_folder_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::new(folder.path(), AUTHORITY);
        authority(&files).expect("made");
        let again = authority(&files).expect("read");
        let key = KeyPair::generate().expect("a key");
        let signed = client("Ada").signed_by(&key, &again).expect("signed");
        let facts = Facts::of(signed.der()).expect("a certificate");
        assert_eq!((facts.subject.as_str(), facts.is_ca), ("CN=Ada", false));
        fs::remove_file(&files.key).expect("removed");
        let Err(error) = authority(&files) else { panic!("half of it") };
        assert!(error.to_string().contains("remove both"), "{error}");
        let pem = fs::read(&files.certificate).expect("text");
        assert_eq!(tls::certificates(&pem).expect("PEM").len(), 1);
    }
}
