//! Which entry of a full local codebook makes room for a new one.

/// How the least valuable entry is chosen; ties go to the entry used longest ago, then to the lowest id.
///
/// Age is counted in the codebook's own learning steps, not in time, so that the same observations prune
/// the same entries on every machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PruningStrategy {
    /// The entry used longest ago.
    LRU,
    /// The entry used least often.
    LFU,
    /// The entry of least `recency_weight / (1 + age) + frequency_weight · ln(1 + uses)`.
    Hybrid {
        /// Weight of recent use.
        recency_weight: f64,
        /// Weight of frequent use.
        frequency_weight: f64,
    },
}

impl Default for PruningStrategy {
    fn default() -> Self {
        Self::Hybrid { recency_weight: 0.5, frequency_weight: 0.5 }
    }
}

/// How an entry has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) uses: u64,
    pub(super) last_tick: u64,
}

impl PruningStrategy {
    /// The position of the entry to drop at `now`; none only where there are no entries.
    pub(super) fn victim(self, usages: impl Iterator<Item = Usage>, now: u64) -> Option<usize> {
        usages
            .map(|usage| (self.value(usage, now), usage.last_tick))
            .enumerate()
            // `total_cmp` orders every float, so even absurd weights drop some entry.
            .min_by(|(_, (a, a_tick)), (_, (b, b_tick))| a.total_cmp(b).then(a_tick.cmp(b_tick)))
            .map(|(position, _)| position)
    }

    fn value(self, usage: Usage, now: u64) -> f64 {
        match self {
            Self::LRU => 0.0, // the tie-break is the last use
            Self::LFU => usage.uses as f64,
            Self::Hybrid { recency_weight, frequency_weight } => {
                let age = now.saturating_sub(usage.last_tick) as f64;
                recency_weight / (1.0 + age) + frequency_weight * libm::log1p(usage.uses as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(strategy: PruningStrategy, usages: &[(u64, u64)], now: u64) -> Option<usize> {
        strategy.victim(usages.iter().map(|&(uses, last_tick)| Usage { uses, last_tick }), now)
    }

    #[test]
    fn each_strategy_drops_its_own_entry() {
        let usages = [(9, 1), (1, 3), (2, 2)];
        assert_eq!(victim(PruningStrategy::LRU, &usages, 4), Some(0));
        assert_eq!(victim(PruningStrategy::LFU, &usages, 4), Some(1));
        let hybrid =
            |recency_weight, frequency_weight| PruningStrategy::Hybrid { recency_weight, frequency_weight };
        assert_eq!(victim(hybrid(1.0, 0.0), &usages, 4), Some(0));
        assert_eq!(victim(hybrid(0.0, 1.0), &usages, 4), Some(1));
    }

    #[test]
    fn ties_go_to_the_longest_unused_then_to_the_first() {
        assert_eq!(victim(PruningStrategy::LFU, &[(1, 5), (1, 2), (1, 2)], 9), Some(1));
    }

    #[test]
    fn some_entry_is_always_dropped() {
        let absurd = PruningStrategy::Hybrid { recency_weight: f64::NAN, frequency_weight: f64::INFINITY };
        assert_eq!(victim(absurd, &[(1, 1), (1, 1)], 1), Some(0));
        assert_eq!(victim(PruningStrategy::LRU, &[(u64::MAX, u64::MAX)], 0), Some(0));
        assert_eq!(victim(PruningStrategy::LRU, &[], 0), None);
    }
}
