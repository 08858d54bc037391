//! What a certificate says, in the words that API Gateway has for it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use time::{OffsetDateTime, macros::format_description};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev},
    parse_x509_certificate,
    x509::{AttributeTypeAndValue, X509Name},
};

/// A client's certificate as events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// The certificate itself.
    pub client_cert_pem: String,
    /// Whose it is.
    #[serde(rename = "subjectDN")]
    pub subject: String,
    /// Who signed it.
    #[serde(rename = "issuerDN")]
    pub issuer: String,
    /// Its number with that issuer.
    pub serial_number: String,
    /// From when to when it is good.
    pub validity: Validity,
}

/// Two times as OpenSSL writes them: `May 28 12:30:02 2019 GMT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    /// The first second.
    pub not_before: String,
    /// The last one.
    pub not_after: String,
}

impl ClientCertificate {
    /// What `der` says; none where it is not a certificate.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        Some(Self {
            client_cert_pem: pem(der),
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            serial_number: serial(certificate.raw_serial()),
            validity: Validity {
                not_before: time(certificate.validity().not_before.to_datetime()),
                not_after: time(certificate.validity().not_after.to_datetime()),
            },
        })
    }
}

/// What there is to know of a certificate before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub subject: String,
    /// The first second that it is good for.
    pub not_before: OffsetDateTime,
    /// The last one.
    pub not_after: OffsetDateTime,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// The algorithm it is signed with, where that is broken.
    pub weak_signature: Option<&'static str>,
    /// The bits of an RSA key.
    pub rsa_bits: Option<usize>,
    /// The DNS names that it is for, in lower case.
    pub dns_names: Vec<String>,
}

impl Facts {
    /// What `der` says.
    ///
    /// # Errors
    /// Where it is not a certificate.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = parse_x509_certificate(der);
        let (_, certificate) = parsed.map_err(|_| "it is not a certificate".to_owned())?;
        let key = certificate.public_key().parsed().ok();
        Ok(Self {
            subject: name(certificate.subject()),
            not_before: certificate.validity().not_before.to_datetime(),
            not_after: certificate.validity().not_after.to_datetime(),
            is_ca: certificate.is_ca(),
            weak_signature: weak(&certificate),
            rsa_bits: key.and_then(|key| match key {
                x509_parser::public_key::PublicKey::RSA(key) => Some(key.key_size()),
                _ => None,
            }),
            dns_names: dns_names(&certificate),
        })
    }

    /// What is wrong with its time, in words that stay the same from day to
    /// day; none where it is good now.
    pub fn out_of_time(&self) -> Option<String> {
        let now = OffsetDateTime::now_utc();
        if now > self.not_after {
            return Some(format!("expired on {}", time(self.not_after)));
        }
        (now < self.not_before).then(|| format!("is not good before {}", time(self.not_before)))
    }
}

/// Whether the certificate is for this name, as clients see it.
pub fn is_for(der: &CertificateDer<'_>, domain: &str) -> bool {
    // No client asks for a wildcard, so that there is no check for it.
    if domain.starts_with("*.") {
        return Facts::of(der).is_ok_and(|facts| facts.dns_names.iter().any(|own| own == domain));
    }
    let (Ok(certificate), Ok(name)) =
        (rustls::server::ParsedCertificate::try_from(der), ServerName::try_from(domain))
    else {
        return false;
    };
    rustls::client::verify_server_name(&certificate, &name).is_ok()
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = names.value.general_names.iter();
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.filter_map(dns).collect()
}

fn weak(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    const WEAK: [(&str, &str); 6] = [
        ("1.2.840.113549.1.1.2", "MD2"),
        ("1.2.840.113549.1.1.4", "MD5"),
        ("1.2.840.113549.1.1.5", "SHA-1"),
        ("1.3.14.3.2.29", "SHA-1"),
        ("1.2.840.10045.4.1", "SHA-1"),
        ("1.2.840.10040.4.3", "SHA-1"),
    ];
    let own = certificate.signature_algorithm.algorithm.to_id_string();
    WEAK.iter().find(|(id, _)| *id == own).map(|(_, name)| *name)
}

/// One certificate in PEM, in lines of 64 characters.
pub fn pem(der: &CertificateDer<'_>) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// `C=US,O=Example,CN=client`, in the certificate's own order; characters that
/// mean something are escaped as RFC 4514 has it.
fn name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for (index, relative) in name.iter_rdn().enumerate() {
        for (inner, attribute) in relative.iter().enumerate() {
            text.push_str(match (index, inner) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type();
    match oid2abbrev(kind, oid_registry()) {
        Ok(known) => text.push_str(known),
        Err(_) => text.push_str(&kind.to_id_string()),
    }
    text.push('=');
    let Ok(value) = attribute.as_str() else {
        text.push('#');
        for byte in attribute.as_slice() {
            // Writing to a string never fails.
            let _ = write!(text, "{byte:02x}");
        }
        return;
    };
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
}

/// A short number in decimal, a long one as pairs of hexadecimal digits, as
/// OpenSSL prints them.
fn serial(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    if digits.len() <= size_of::<u64>() {
        let number = digits.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        return number.to_string();
    }
    let pairs: Vec<String> = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn time(time: OffsetDateTime) -> String {
    let format = format_description!(
        "[month repr:short] [day padding:space] [hour]:[minute]:[second] [year] GMT"
    );
    // At the edges of what years there are, a time has none in UTC.
    let time = time.checked_to_offset(time::UtcOffset::UTC).unwrap_or(time);
    time.format(&format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    fn made(params: &CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    #[test]
    fn a_client_s_certificate_reads_as_events_have_it() {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::CountryName, DnValue::PrintableString("US".try_into().expect("ascii")));
        name.push(DnType::OrganizationName, "Widgets, Inc. \n");
        name.push(DnType::CommonName, " a+b ");
        name.push(DnType::CustomDnType(vec![1, 2, 3, 4]), "x");
        params.serial_number = Some(SerialNumber::from(vec![0xa1; 16]));
        params.not_before = date_time_ymd(2019, 5, 8);
        params.not_after = date_time_ymd(2051, 8, 28);
        let der = made(&params);
        let read = ClientCertificate::of(&der).expect("a certificate");
        assert_eq!(read.subject, "C=US,O=Widgets\\, Inc. \\0a,CN=\\ a\\+b\\ ,1.2.3.4=x");
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.serial_number, ["a1"; 16].join(":"));
        assert_eq!(read.validity.not_before, "May  8 00:00:00 2019 GMT");
        assert_eq!(read.validity.not_after, "Aug 28 00:00:00 2051 GMT");
        let again = crate::tls::certificates(read.client_cert_pem.as_bytes()).expect("PEM");
        assert_eq!(again, [der]);
        assert_eq!(ClientCertificate::of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn short_serial_numbers_are_decimal() {
        assert_eq!(serial(&[1]), "1");
        assert_eq!(serial(&[0, 0xff]), "255");
        assert_eq!(serial(&[0, 0xff, 0, 0, 0, 0, 0, 0, 0]), "18374686479671623680");
        assert_eq!(serial(&[1, 0, 0, 0, 0, 0, 0, 0, 2]), "01:00:00:00:00:00:00:00:02");
        assert_eq!(serial(&[]), "0");
    }

    #[test]
    fn certificates_are_for_the_names_that_clients_see() {
        let names = ["api.example.com", "*.example.org", "127.0.0.1"].map(str::to_owned);
        let der = made(&CertificateParams::new(names).expect("names"));
        for good in ["api.example.com", "*.example.org", "a.example.org", "127.0.0.1"] {
            assert!(is_for(&der, good), "{good}");
        }
        for bad in ["example.com", "*.example.com", "a.b.example.org", "127.0.0.2", "*"] {
            assert!(!is_for(&der, bad), "{bad}");
        }
    }

    #[test]
    fn a_certificate_has_its_time() {
        let mut params = CertificateParams::new([]).expect("no names");
        let text =
            |params: &CertificateParams| Facts::of(&made(params)).expect("one").out_of_time();
        assert_eq!(text(&params), None);
        params.not_after = date_time_ymd(2020, 1, 2);
        params.not_before = date_time_ymd(2019, 1, 2);
        assert_eq!(text(&params).as_deref(), Some("expired on Jan  2 00:00:00 2020 GMT"));
        params.not_after = date_time_ymd(4000, 1, 2);
        params.not_before = date_time_ymd(3000, 1, 2);
        assert_eq!(text(&params).as_deref(), Some("is not good before Jan  2 00:00:00 3000 GMT"));
    }
}
