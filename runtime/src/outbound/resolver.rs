//! Names to addresses, and of those only the ones that may be reached: what is
//! connected to is what was checked.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use tower_service::Service;

use super::may_reach;

/// Asks the system.
#[derive(Clone)]
pub struct Resolver(Arc<[IpNet]>);

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// All there are may not be reached; this is one of them.
    #[error("{0} is not a public address")]
    Prohibited(IpAddr),
    /// There is none.
    #[error("{0}")]
    NotFound(String),
}

impl Resolver {
    /// One that knows the networks that may be reached beside public ones.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let networks = Arc::clone(&self.0);
        Box::pin(async move {
            // The connector puts the port in.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|error| ResolveError::NotFound(error.to_string()))?;
            select(&networks, found.collect())
        })
    }
}

fn select(
    networks: &[IpNet],
    found: Vec<SocketAddr>,
) -> Result<std::vec::IntoIter<SocketAddr>, ResolveError> {
    let first = found.first().map(SocketAddr::ip);
    let reached: Vec<SocketAddr> =
        found.into_iter().filter(|address| may_reach(networks, address.ip())).collect();
    match (reached.is_empty(), first) {
        (false, _) => Ok(reached.into_iter()),
        (true, Some(address)) => Err(ResolveError::Prohibited(address)),
        (true, None) => Err(ResolveError::NotFound("it has no address".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_reached_is_connected_to() {
        let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let mixed = vec![address("127.0.0.1:0"), address("1.1.1.1:0"), address("[::1]:0")];
        let reached = select(&[], mixed.clone()).expect("one is public");
        assert_eq!(reached.collect::<Vec<_>>(), [address("1.1.1.1:0")]);
        let loopback: IpNet = "127.0.0.0/8".parse().expect("a network");
        let reached = select(&[loopback], mixed).expect("two may be reached");
        assert_eq!(reached.count(), 2);
        let mapped = vec![address("[::ffff:127.0.0.1]:0")];
        assert!(matches!(select(&[], mapped.clone()), Err(ResolveError::Prohibited(_))));
        assert!(select(&[loopback], mapped).is_ok());
        assert!(matches!(select(&[], Vec::new()), Err(ResolveError::NotFound(_))));
    }
}
