//! How far ahead of its peers each workload has to be: the table that a run is held against.

/// One bar: `time of the best peer / our time` has to reach `least`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// The workload that we run.
    pub ours: &'static str,
    /// The workload whose peers count: the same one, or that of another input with the same answer.
    pub theirs: &'static str,
    /// Only peers whose name starts so count; empty for all.
    pub named: &'static str,
    /// The ratio to reach at one thread.
    pub least: f64,
    /// The ratio to reach at two threads; `None` where only one thread is asked.
    pub least_at_two: Option<f64>,
    /// The highest inertia that our answer to k-means may have, as a multiple of a peer's.
    pub inertia: f64,
}

/// A bar against all peers of a workload; at two threads 90 % of it.
const fn bar(ours: &'static str, least: f64) -> Bar {
    let least_at_two = Some(0.9 * least);
    Bar { ours, theirs: ours, named: "", least, least_at_two, inertia: f64::INFINITY }
}

impl Bar {
    /// The same against the peers of another workload.
    const fn over(self, theirs: &'static str) -> Self {
        Self { theirs, ..self }
    }

    /// The same against one library only.
    const fn named(self, named: &'static str) -> Self {
        Self { named, ..self }
    }

    /// The ratio to reach at `threads`; `None` where no bar is set.
    #[must_use]
    pub fn at(&self, threads: usize) -> Option<f64> {
        match threads {
            1 => Some(self.least),
            2 => self.least_at_two,
            _ => None,
        }
    }
}

/// Every bar.
pub const BARS: &[Bar] = &[
    Bar { least_at_two: Some(3.0), ..bar("w1", 3.5) },
    bar("w2/128", 2.4),
    bar("w2/768", 3.4),
    bar("w2i/128", 4.0),
    bar("w2i/768", 1.7),
    bar("w3/128", 1.2),
    bar("w3/768", 2.5),
    bar("w3i/128", 3.0).over("w3/128"),
    bar("w3i/768", 3.0).over("w3/768"),
    bar("w3i/128", 1.8),
    bar("w3i/768", 1.8),
    bar("w4a/cosine", 1.5).named("mkl"),
    bar("w4a/cosine", 50.0).named("numkong linked"),
    bar("w4a/jaccard", 4.0),
    bar("w4b/cosine", 3.5).named("mkl"),
    bar("w4b/jaccard", 50.0),
    Bar { inertia: 1.0, ..bar("w5", 1.5).named("faiss") },
    Bar { inertia: 1.01, ..bar("w5", 3.0).named("scikit-learn-intelex") },
    bar("w6", 1.9),
    Bar { least_at_two: Some(1.7), ..bar("w7/quantize", 2.0) },
    bar("w7/dequantize", 1.15),
    Bar { least_at_two: None, ..bar("w8", 5.0).named("numkong linked") },
];

#[cfg(test)]
mod tests {
    use super::super::workload::WORKLOADS;
    use super::*;

    #[test]
    fn every_workload_has_a_bar_and_every_bar_a_workload() {
        for (id, _) in WORKLOADS {
            assert!(BARS.iter().any(|bar| bar.ours == *id), "{id} has no bar");
        }
        for bar in BARS {
            for id in [bar.ours, bar.theirs] {
                assert!(WORKLOADS.iter().any(|(name, _)| *name == id), "nothing measures {id}");
            }
        }
    }

    #[test]
    fn two_threads_have_their_own_bar() {
        let bar = |id: &str| BARS.iter().find(|bar| bar.ours == id).unwrap();
        assert_eq!(bar("w1").at(2), Some(3.0));
        assert!(bar("w6").at(2).is_some_and(|least| (least - 1.71).abs() < 1e-9));
        assert_eq!((bar("w8").at(2), bar("w6").at(4)), (None, None));
    }
}
