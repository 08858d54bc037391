//! `[request_filter]`: which addresses may call at all, and how often.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ThrottleConfig;

/// What holds for clients by their addresses, before anything else does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestFilterConfig {
    /// The only ranges that may call; any where there is none.
    pub allow: Vec<IpNet>,
    /// Ranges that may not call.
    pub deny: Vec<IpNet>,
    /// How often each address may call.
    pub throttle: Option<ThrottleConfig>,
}

impl RequestFilterConfig {
    /// Whether a client with this address may call.
    pub fn permits(&self, client: IpAddr) -> bool {
        !contains(&self.deny, client) && (self.allow.is_empty() || contains(&self.allow, client))
    }
}

/// Whether an address is in one of the ranges.
pub fn contains(ranges: &[IpNet], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_comes_before_an_allow() {
        let ranges = |texts: &[&str]| -> Vec<IpNet> {
            texts.iter().map(|text| text.parse().expect("a range")).collect()
        };
        let permits = |allow: &[&str], deny: &[&str], client: &str| {
            let filter =
                RequestFilterConfig { allow: ranges(allow), deny: ranges(deny), throttle: None };
            filter.permits(client.parse().expect("an address"))
        };
        assert!(permits(&[], &[], "10.0.0.1"));
        assert!(permits(&["10.0.0.0/8"], &[], "10.0.0.1"));
        assert!(!permits(&["10.0.0.0/8"], &[], "11.0.0.1"));
        assert!(!permits(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1"));
        assert!(permits(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.0.1"));
        assert!(!permits(&[], &["2001:db8::/32"], "2001:db8::1"));
        assert!(permits(&[], &["0.0.0.0/0"], "2001:db8::1"));
        assert!(!permits(&["0.0.0.0/0"], &[], "2001:db8::1"));
    }
}
