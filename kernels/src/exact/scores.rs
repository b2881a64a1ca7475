//! The scores of known pairs, several side by side: the same bytes that the judge of one query gives, without
//! what it needs to compare them.

use crate::types::Metric;

/// Sums that run side by side: each waits for its last addition, so one alone would leave the processor idle.
pub(crate) const AT_ONCE: usize = 8;

/// The score of each pair of a query and a row, as a search returns it. All have the same dimension.
#[inline(always)] // so that the loops are compiled for the level of the caller
pub(crate) fn scores<const N: usize>(metric: Metric, pairs: [(&[f32], &[f32]); N]) -> [f64; N] {
    match metric {
        Metric::Dot => sums(pairs, |q, r| q * r),
        Metric::L2 => sums(pairs, |q, r| (q - r) * (q - r)).map(f64::sqrt),
        Metric::Cosine => {
            let dots = sums(pairs, |q, r| q * r);
            let (queries, rows) = (sums(pairs, |q, _| q * q), sums(pairs, |_, r| r * r));
            let mut scores = [0.0; N];
            for n in 0..N {
                // A sum of squares is zero only where every square is.
                if queries[n] > 0.0 && rows[n] > 0.0 {
                    scores[n] = (dots[n] / (queries[n].sqrt() * rows[n].sqrt())).clamp(-1.0, 1.0);
                }
            }
            scores
        }
    }
}

/// Σ `term` in f64 in ascending dimension.
#[inline(always)]
fn sums<const N: usize>(pairs: [(&[f32], &[f32]); N], term: impl Fn(f64, f64) -> f64) -> [f64; N] {
    let dim = pairs[0].0.len();
    let pairs = pairs.map(|(query, row)| (&query[..dim], &row[..dim]));
    let mut sums = [0.0; N];
    for i in 0..dim {
        for n in 0..N {
            sums[n] += term(f64::from(pairs[n].0[i]), f64::from(pairs[n].1[i]));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exact::Judge;
    use crate::types::{DenseView, Wanted};

    proptest! {
        #[test]
        fn are_those_of_the_judge(
            (dim, data) in (1usize..70).prop_flat_map(|dim| {
                let value = prop_oneof![4 => -1.0f32..1.0, 1 => Just(0.0), 1 => any::<f32>().prop_filter("finite", |x| x.is_finite())];
                (Just(dim), prop::collection::vec(value, 4 * dim))
            }),
            zero: bool,
        ) {
            let mut data = data;
            if zero {
                data[..dim].fill(0.0);
            }
            let rows: Vec<&[f32]> = data.chunks(dim).collect();
            for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
                let got = scores(metric, [(rows[0], rows[1]), (rows[2], rows[3]), (rows[1], rows[1])]);
                for ((query, row), got) in [(0, 1), (2, 3), (1, 1)].into_iter().zip(got) {
                    let corpus = DenseView::new(rows[row], 1, dim).unwrap();
                    let judge = Judge::new(metric, corpus, rows[query]);
                    let found = judge.nearest(vec![judge.candidate(0)], Wanted::Top(1));
                    prop_assert_eq!(got.to_bits(), found[0].score.to_bits(), "{}", metric);
                }
            }
        }
    }
}
