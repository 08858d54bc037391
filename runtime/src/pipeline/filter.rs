//! The request filter: whether a client's address may call at all, and how
//! often.

use std::net::{IpAddr, Ipv6Addr};

use super::{error::GatewayError, method_request::About};
use crate::state::{Denied, Limit};

/// Whose addresses begin alike is one client of IPv6: what a provider gives to
/// a household or a machine.
const IPV6_PREFIX_BITS: u32 = 64;

/// Lets a request through, or not.
///
/// # Errors
/// [`GatewayError::Filtered`], [`GatewayError::TooManyRequests`] and
/// [`GatewayError::StateUnavailable`].
pub async fn check(about: &About<'_>) -> Result<(), GatewayError> {
    let filter = &about.gateway.config.request_filter;
    let client = about.connection.client.ip();
    if !filter.permits(client) {
        return Err(GatewayError::Filtered(client));
    }
    let Some(throttle) = &filter.throttle else { return Ok(()) };
    let limit = Limit::Client { address: network(client), throttle };
    let taken = about.gateway.state.take(&[limit]).await;
    taken.map_err(|denied| match denied {
        Denied::Refused(refusal) => GatewayError::TooManyRequests {
            by: format!("the request filter, which counts {client}"),
            wait: refusal.wait.unwrap_or_default(),
        },
        Denied::Unavailable => GatewayError::StateUnavailable,
    })
}

/// What is counted as one client.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - IPV6_PREFIX_BITS);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_ipv6_are_counted_by_their_network() {
        let network = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:3::1"), "2001:db8:1:3::");
    }
}
