//! Token buckets: how often something may happen.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>

use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::config::ThrottleConfig;

/// A bucket: full at first, filled again at its rate.
#[derive(Debug)]
pub struct Throttle(DefaultDirectRateLimiter);

impl Throttle {
    /// A full bucket.
    pub fn new(config: &ThrottleConfig) -> Self {
        let interval = Duration::from_secs_f64(1.0 / config.rate);
        let quota = Quota::with_period(interval.max(Duration::from_nanos(1)));
        // The interval is not zero.
        let quota = quota.unwrap_or(Quota::per_second(config.burst));
        Self(RateLimiter::direct(quota.allow_burst(config.burst)))
    }

    /// Takes one from the bucket.
    ///
    /// # Errors
    /// How long it is empty for.
    pub fn take(&self) -> Result<(), Duration> {
        self.0.check().map_err(|empty| empty.wait_time_from(self.0.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_bucket_is_empty_after_its_burst() {
        let burst = NonZeroU32::new(3).expect("three");
        let throttle = Throttle::new(&ThrottleConfig { rate: 0.001, burst });
        for _ in 0..3 {
            assert_eq!(throttle.take(), Ok(()));
        }
        let wait = throttle.take().expect_err("empty");
        assert!(wait > Duration::from_secs(900) && wait <= Duration::from_secs(1000), "{wait:?}");
    }
}
