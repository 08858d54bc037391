//! Time that something may take.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// The outcome of a future, unless that takes longer than `limit`. The time is
/// taken from the end of its first turn on: most of what a gateway waits for
/// needs no more than that, and a timer costs as much as a short answer. It is
/// pinned where it is made, as some are kilobytes, which would be moved.
pub async fn within<F: Future>(limit: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut timer = pin!(None::<Sleep>);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if timer.is_none() {
            timer.set(Some(sleep(limit)));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_has_no_outcome() {
        let (short, long) = (Duration::from_millis(5), Duration::from_secs(60));
        assert_eq!(within(long, pin!(ready(1))).await, Some(1));
        assert_eq!(within(long, pin!(sleep(short))).await, Some(()));
        assert_eq!(within(short, pin!(pending::<()>())).await, None);
        assert_eq!(within(short, pin!(sleep(long))).await, None);
        // What is there at once needs no time.
        assert_eq!(within(Duration::ZERO, pin!(ready(2))).await, Some(2));
    }
}
