//! Whose turn it is to try what pays only if it goes well.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts who tries and who goes without, so that what seldom goes well is hardly tried,
/// and what went badly for a while is tried again. Who comes at the same time as another
/// may count as one.
pub struct Turns {
    /// How many go without after one that went badly, at least and at most.
    bounds: (u32, u32),
    // Those that go without from now on.
    left: AtomicU32,
    pause: AtomicU32,
}

impl Turns {
    /// As if all had gone well. After one that went badly, `pause_min` go without; after
    /// the next twice as many, up to `pause_max`, and after one that went well an eighth
    /// less of what is over the least.
    pub const fn new(pause_min: u32, pause_max: u32) -> Self {
        let (left, pause) = (AtomicU32::new(0), AtomicU32::new(pause_min));
        Self { bounds: (pause_min, pause_max), left, pause }
    }

    /// Whether who asks may try it.
    pub fn is_next(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// How it went.
    pub fn count(&self, is_well: bool) {
        let (min, max) = self.bounds;
        let pause = self.pause.load(Ordering::Relaxed);
        let next = match is_well {
            true => pause - pause.saturating_sub(min).div_ceil(8),
            false => {
                self.left.store(pause, Ordering::Relaxed);
                pause.saturating_mul(2).min(max)
            }
        };
        // All threads may share it.
        if next != pause {
            self.pause.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go without after one that went badly.
    fn pause(turns: &Turns) -> Option<usize> {
        turns.count(false);
        (0..10_000).position(|_| turns.is_next())
    }

    #[test]
    fn what_goes_badly_is_tried_ever_less() {
        let turns = Turns::new(16, 100);
        assert!(turns.is_next());
        assert_eq!([16, 32, 64, 100, 100].map(Some), [(); 5].map(|()| pause(&turns)));
    }

    #[test]
    fn what_goes_well_again_is_tried_as_before() {
        let turns = Turns::new(16, 100);
        assert_eq!([16, 32].map(Some), [(); 2].map(|()| pause(&turns)));
        turns.count(true);
        assert!(turns.is_next());
        assert_eq!(pause(&turns), Some(58));
        for _ in 0..50 {
            turns.count(true);
            assert!(turns.is_next());
        }
        assert_eq!(pause(&turns), Some(16));
    }
}
