//! Percentiles of durations.

use std::time::Duration;

/// Durations as they were measured.
#[derive(Clone, Debug, Default)]
pub struct Percentiles(Vec<Duration>);

impl Percentiles {
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration below which `percent` of all lie (nearest rank); zero if there are none.
    pub fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// `p50 1.2 ms, p99 3.4 ms (n)`
    pub fn summary(&self) -> String {
        format!("p50 {}, p99 {} ({} measured)", milliseconds(self.at(50)), milliseconds(self.at(99)), self.len())
    }
}

/// A duration in milliseconds, with as many digits as matter.
pub fn milliseconds(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis {
        0.0..10.0 => format!("{millis:.2} ms"),
        10.0..100.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let mut all = Percentiles::default();
        assert_eq!(all.at(50), Duration::ZERO);
        (1..=100).for_each(|n| all.add(Duration::from_millis(n)));
        assert_eq!(all.at(50), Duration::from_millis(50));
        assert_eq!(all.at(99), Duration::from_millis(99));
        assert_eq!(all.at(100), Duration::from_millis(100));
    }
}
