//! Which HTTP servers a function may call.

use std::{fmt, net::IpAddr};

use http::Uri;
use ipnet::IpNet;

/// What a function may call, and how much it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundConfig {
    /// Servers by name.
    pub hosts: Vec<OutboundHost>,
    /// Addresses that are not public and may be called all the same.
    pub networks: Vec<IpNet>,
    /// The longest body of an answer, in bytes.
    pub response_bytes_max: u64,
}

/// `https://api.example.com`, `https://*.example.com`, `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundHost {
    is_secure: bool,
    host: HostPattern,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    /// `*`
    Any,
    /// `*.example.com`: what ends so, with the dot.
    Below(String),
    /// One name or address.
    Only(String),
}

/// What is wrong with a host, and what to write.
type Wrong = (String, &'static str);

const HINT: &str = "write for example \"https://api.example.com\", \"https://*.example.com\" or \"http://127.0.0.1:8080\"";

impl OutboundHost {
    /// Reads one entry of `outbound`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |why: &str| (format!("{text:?} {why}"), HINT);
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("does not begin with http:// or https://"))?;
        let is_secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("does not begin with http:// or https://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("has more than a host and a port"));
        }
        // No host name has a star in it, so that the parser would refuse it.
        let (pattern, sample) = match rest.strip_prefix('*') {
            None => (None, rest.to_owned()),
            Some(below) if below.starts_with('.') => (Some(true), format!("x{below}")),
            Some(port) => (Some(false), format!("x{port}")),
        };
        let uri: Uri = format!("http://{sample}/").parse().map_err(|_| wrong("is not a host"))?;
        let name = uri.host().filter(|host| !host.is_empty() && !host.contains('*'));
        let name = canonical(name.ok_or_else(|| wrong("is not a host"))?);
        let has_port = sample.strip_suffix(']').is_none()
            && sample.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = match uri.port_u16() {
            Some(0) => return Err(wrong("has the port 0")),
            Some(port) => port,
            None if has_port => return Err(wrong("has no port behind its colon")),
            None => default_port(is_secure),
        };
        let host = match pattern {
            None => HostPattern::Only(name),
            // Below the root would be anywhere.
            Some(true) if name.len() > "x.".len() => HostPattern::Below(name[1..].to_owned()),
            Some(true) => return Err(wrong("has no name behind its star")),
            Some(false) if name == "x" => HostPattern::Any,
            Some(false) => return Err(wrong("has a star that is not a whole label")),
        };
        Ok(Self { is_secure, host, port })
    }

    /// Whether it is this server.
    pub fn is(&self, server: &Server) -> bool {
        let named = match &self.host {
            HostPattern::Any => true,
            HostPattern::Below(end) => {
                server.host.len() > end.len() && server.host.ends_with(end.as_str())
            }
            HostPattern::Only(name) => *name == server.host,
        };
        named && self.is_secure == server.is_secure && self.port == server.port
    }
}

/// A server that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    is_secure: bool,
    host: String,
    port: u16,
}

impl Server {
    /// That of an absolute URI.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = canonical(uri.host().filter(|host| !host.is_empty())?);
        Some(Self { is_secure, host, port: uri.port_u16().unwrap_or(default_port(is_secure)) })
    }

    /// Its address, where that is what names it.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// As `outbound` would have it.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        match self.address() {
            Some(IpAddr::V6(address)) => write!(f, "{scheme}://[{address}]")?,
            _ => write!(f, "{scheme}://{}", self.host)?,
        }
        match self.port {
            port if port == default_port(self.is_secure) => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

/// In lower case, without the dot of the root; an address in its usual form.
fn canonical(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

/// Whether anyone on the internet could be called at this address.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            !PRIVATE_V4.iter().any(|(base, length)| (bits ^ base) >> (32 - length) == 0)
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            if bits >> 32 == NAT64 {
                // The lower half is an address of IPv4.
                let [.., a, b, c, d] = address.octets();
                return is_public([a, b, c, d].into());
            }
            !PRIVATE_V6
                .iter()
                .any(|(base, length)| (bits ^ (u128::from(*base) << 64)) >> (128 - length) == 0)
                && bits >> 32 != 0
        }
    }
}

/// `64:ff9b::/96`, RFC 6052.
const NAT64: u128 = 0x0064_ff9b_0000_0000_0000_0000;

/// Special addresses by their first bits: <https://www.iana.org/assignments/iana-ipv4-special-registry/>.
const PRIVATE_V4: [(u32, u32); 15] = [
    (0x0000_0000, 8),  // this network
    (0x0a00_0000, 8),  // private
    (0x6440_0000, 10), // carriers' NAT
    (0x7f00_0000, 8),  // loopback
    (0xa9fe_0000, 16), // link-local
    (0xac10_0000, 12), // private
    (0xc000_0000, 24), // protocol assignments
    (0xc000_0200, 24), // documentation
    (0xc058_6300, 24), // 6to4 relays
    (0xc0a8_0000, 16), // private
    (0xc612_0000, 15), // benchmarks
    (0xc633_6400, 24), // documentation
    (0xcb00_7100, 24), // documentation
    (0xe000_0000, 4),  // multicast
    (0xf000_0000, 4),  // reserved, broadcast
];

/// The same for IPv6, by the upper half:
/// <https://www.iana.org/assignments/iana-ipv6-special-registry/>.
const PRIVATE_V6: [(u64, u32); 11] = [
    (0x0064_ff9b_0001_0000, 48), // local NAT64
    (0x0100_0000_0000_0000, 64), // discard
    (0x2001_0000_0000_0000, 23), // protocol assignments, Teredo
    (0x2001_0db8_0000_0000, 32), // documentation
    (0x2002_0000_0000_0000, 16), // 6to4
    (0x3fff_0000_0000_0000, 20), // documentation
    (0x5f00_0000_0000_0000, 16), // segment routing
    (0xfc00_0000_0000_0000, 7),  // unique local
    (0xfe80_0000_0000_0000, 10), // link-local
    (0xfec0_0000_0000_0000, 10), // site-local
    (0xff00_0000_0000_0000, 8),  // multicast
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, uri: &str) -> bool {
        let pattern = OutboundHost::parse(pattern).unwrap_or_else(|(why, _)| panic!("{why}"));
        pattern.is(&Server::of(&uri.parse().expect("a URI")).expect("a server"))
    }

    #[test]
    fn scheme_host_and_port_are_compared() {
        assert!(allows("https://api.example.com", "https://API.example.com./path?q"));
        assert!(allows("https://api.example.com/", "https://api.example.com:443/"));
        assert!(!allows("https://api.example.com", "http://api.example.com/"));
        assert!(!allows("https://api.example.com", "https://api.example.com:8443/"));
        assert!(!allows("https://api.example.com", "https://x.api.example.com/"));
        assert!(allows("https://*.example.com:8443", "https://a.b.example.com:8443/"));
        assert!(!allows("https://*.example.com", "https://example.com/"));
        assert!(!allows("https://*.example.com", "https://badexample.com/"));
        assert!(allows("https://*", "https://anything.example/"));
        assert!(allows("http://127.0.0.1:8080", "http://127.0.0.1:8080/"));
        assert!(allows("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]/"));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for wrong in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https:///",
            "https://example.com/path",
            "https://user@example.com",
            "https://example.com:0",
            "https://example.com:",
            "https://example.com:99999",
            "https://a.*.com",
            "https://*a.com",
            "https://**",
            "https://*.",
        ] {
            assert!(OutboundHost::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "64:ff9b::101:101", "2606:4700::1111"]
        {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn a_server_is_shown_as_it_would_be_granted() {
        for text in ["https://example.com", "http://example.com:8080", "http://[::1]:9"] {
            let server = Server::of(&text.parse().expect("a URI")).expect("a server");
            assert_eq!(server.to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_host_or_an_error(text in "(https?://)?[*.:@/a-z0-9\\[\\]\\PC]{0,20}") {
            drop(OutboundHost::parse(&text));
        }
    }
}
