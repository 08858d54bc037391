//! Who the client is where the connection is a proxy's.
//!
//! Only `X-Forwarded-For` counts, not RFC 7239's `Forwarded`: proxies write
//! the one and pass the other on as the client sent it, so that whoever believed
//! both would believe the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use super::{Connection, Proxied};
use crate::config::contains;

/// The most proxies that a request may have come through; the one before them
/// is taken for the client.
const HOPS_MAX: usize = 64;

/// The connection as it is to be seen: from the client, where trusted proxies
/// say who that is.
pub fn resolve(connection: &Connection, trusted: &[IpNet], headers: &HeaderMap) -> Connection {
    let peer = connection.client.ip().to_canonical();
    let own = SocketAddr::new(peer, connection.client.port());
    let direct = Connection { client: own, ..connection.clone() };
    if !contains(trusted, peer) {
        return direct;
    }
    let client = forwarded_for(peer, trusted, headers);
    // Whoever names no scheme or port has not changed it.
    let scheme = single(headers, "x-forwarded-proto").and_then(|text| match text {
        _ if text.eq_ignore_ascii_case("https") => Some("https"),
        _ if text.eq_ignore_ascii_case("http") => Some("http"),
        _ => None,
    });
    let port = single(headers, "x-forwarded-port").and_then(|text| text.parse().ok());
    Connection {
        client: SocketAddr::new(client, 0),
        proxied: Some(Proxied { peer, scheme, port }),
        ..direct
    }
}

/// The nearest address that is no trusted proxy's; where there is none, or
/// something that is no address comes first, the farthest that is trusted.
fn forwarded_for(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let mut farthest = peer;
    let lines = headers.get_all("x-forwarded-for").into_iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        let Some(address) = address(hop) else { break };
        farthest = address;
        if !contains(trusted, address) {
            break;
        }
    }
    farthest
}

/// An address, perhaps with a port, and of IPv6 perhaps in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let in_brackets = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    };
    let address = bare().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

/// The text of a header that is there once, with one value.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    Some(only.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn connection(peer: &str) -> Connection {
        let socket = |text: &str| SocketAddr::new(text.parse().expect("an address"), 1234);
        Connection { client: socket(peer), local: socket("127.0.0.1"), tls: None, proxied: None }
    }

    fn trusted() -> Vec<IpNet> {
        ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]
            .map(|text| text.parse().expect("a range"))
            .into()
    }

    fn resolved(peer: &str, headers: &[(&'static str, &str)]) -> Connection {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        resolve(&connection(peer), &trusted(), &map)
    }

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_proxy() {
        for (peer, lines, client) in [
            ("192.0.2.1", &["198.51.100.1"] as &[&str], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["1.1.1.1,198.51.100.1 ,\t10.0.0.7"], "198.51.100.1"),
            ("127.0.0.1", &["1.1.1.1", "198.51.100.1", "10.0.0.7, 10.0.0.8"], "198.51.100.1"),
            ("127.0.0.1", &["10.0.0.6, 10.0.0.7"], "10.0.0.6"),
            ("127.0.0.1", &["198.51.100.1, unknown, 10.0.0.7"], "10.0.0.7"),
            ("127.0.0.1", &["198.51.100.1, , 10.0.0.7"], "10.0.0.7"),
            ("127.0.0.1", &["198.51.100.1,"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1 10.0.0.1"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("127.0.0.1", &["198.51.100.1:99999"], "127.0.0.1"),
            ("127.0.0.1", &["[2001:db9::1]:4711"], "2001:db9::1"),
            ("127.0.0.1", &["[2001:db9::1]"], "2001:db9::1"),
            ("127.0.0.1", &["2001:db9::1, 2001:db8::7"], "2001:db9::1"),
            ("127.0.0.1", &["[198.51.100.1]"], "127.0.0.1"),
            ("127.0.0.1", &["fe80::1%eth0"], "127.0.0.1"),
            ("127.0.0.1", &["\"198.51.100.1\""], "127.0.0.1"),
            ("127.0.0.1", &["::ffff:10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ] {
            let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let found = resolved(peer, &headers);
            assert_eq!(found.client.ip().to_string(), client, "{peer} {lines:?}");
        }
        let many = vec!["10.0.0.1"; HOPS_MAX + 1].join(", ");
        let found = resolved("127.0.0.1", &[("x-forwarded-for", &format!("1.1.1.1, {many}"))]);
        assert_eq!(found.client.ip().to_string(), "10.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_names_scheme_and_port() {
        let proxied = |peer: &str, headers: &[(&'static str, &str)]| {
            resolved(peer, headers).proxied.map(|proxied| (proxied.scheme, proxied.port))
        };
        let https = [("x-forwarded-proto", "HTTPS"), ("x-forwarded-port", "443")];
        assert_eq!(proxied("127.0.0.1", &https), Some((Some("https"), Some(443))));
        assert_eq!(proxied("192.0.2.1", &https), None);
        let nonsense = [("x-forwarded-proto", "https, http"), ("x-forwarded-port", "x")];
        assert_eq!(proxied("10.0.0.1", &nonsense), Some((None, None)));
        let twice = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
        assert_eq!(proxied("10.0.0.1", &twice), Some((None, None)));
    }

    proptest! {
        /// What a client writes before what proxies append changes nothing.
        #[test]
        fn nobody_chooses_their_own_address(
            forged in "[0-9a-f:., \\[\\]]{0,40}",
            own in any::<[u8; 4]>(),
            proxies in 0_usize..4,
        ) {
            let own = IpAddr::from(own);
            prop_assume!(!contains(&trusted(), own));
            let hops = std::iter::once(own.to_string()).chain((0..proxies).map(|n| format!("10.0.0.{n}")));
            let line = hops.collect::<Vec<_>>().join(", ");
            let found = resolved("127.0.0.1", &[("x-forwarded-for", &format!("{forged},{line}"))]);
            prop_assert_eq!(found.client.ip(), own);
            let apart = [("x-forwarded-for", forged.as_str()), ("x-forwarded-for", line.as_str())];
            prop_assert_eq!(resolved("127.0.0.1", &apart).client.ip(), own);
        }

        #[test]
        fn any_header_leads_to_an_address(line in proptest::collection::vec(0x20_u8..=0xff, 0..60)) {
            prop_assume!(!line.contains(&0x7f));
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_bytes(&line).expect("a value"));
            let found = resolve(&connection("127.0.0.1"), &trusted(), &headers);
            prop_assert!(found.proxied.is_some());
        }
    }
}
