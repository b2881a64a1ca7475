//! The scores of known pairs, sixteen side by side: the same bytes that the judge of one query gives, without
//! what it needs to compare them.

use super::lanes::{Pairs, Parts, ROWS, transposed};
use crate::isa::Level;
use crate::types::Metric;

/// The score of each pair of a query and a row, as a search returns it. All have the same dimension.
#[inline(always)] // so that the loops are compiled for the level of the caller
pub(super) fn scores(level: Level, metric: Metric, pairs: &Pairs<'_>) -> [f64; ROWS] {
    match metric {
        Metric::Dot => sums(level, pairs, |q, r| [q * r])[0],
        Metric::L2 => sums(level, pairs, |q, r| [(q - r) * (q - r)])[0].map(f64::sqrt),
        Metric::Cosine => {
            let [dots, queries, rows] = sums(level, pairs, |q, r| [q * r, q * q, r * r]);
            let mut scores = [0.0; ROWS];
            for n in 0..ROWS {
                // A sum of squares is zero only where every square is.
                if queries[n] > 0.0 && rows[n] > 0.0 {
                    scores[n] = (dots[n] / (queries[n].sqrt() * rows[n].sqrt())).clamp(-1.0, 1.0);
                }
            }
            scores
        }
    }
}

/// Σ of each of the `terms` in f64 in ascending dimension. Zeros behind the last one leave a sum as it is,
/// because none is ever −0.
#[inline(always)]
fn sums<const T: usize>(
    level: Level,
    pairs: &Pairs<'_>,
    terms: impl Fn(f64, f64) -> [f64; T],
) -> [[f64; ROWS]; T] {
    let mut sums = [[0.0; ROWS]; T];
    let parts = Parts::new(pairs);
    for part in 0..parts.len() {
        let [queries, rows] = parts.get(part);
        let (queries, rows) = (transposed(level, queries), transposed(level, rows));
        for (queries, rows) in queries.iter().zip(&rows) {
            for lane in 0..ROWS {
                let terms = terms(f64::from(queries[lane]), f64::from(rows[lane]));
                for (sums, term) in sums.iter_mut().zip(terms) {
                    sums[lane] += term;
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Isa;
    use crate::exact::Judge;
    use crate::types::{DenseView, Wanted};

    struct Scores<'a>(Level, Metric, &'a Pairs<'a>);

    impl pulp::WithSimd for Scores<'_> {
        type Output = [f64; ROWS];

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
            scores(self.0, self.1, self.2)
        }
    }

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
                // All pairs of four rows.
                let pairs: Pairs<'_> = std::array::from_fn(|lane| (rows[lane / 4], rows[lane % 4]));
                let expected = pairs.map(|(query, row)| {
                    let judge = Judge::new(metric, DenseView::new(row, 1, dim).unwrap(), query);
                    judge.nearest(vec![judge.candidate(0)], Wanted::Top(1))[0].score.to_bits()
                });
                for level in Isa::available().into_iter().filter_map(Level::open) {
                    let got = level.dispatch(Scores(level, metric, &pairs)).map(f64::to_bits);
                    prop_assert_eq!(got, expected, "{} {}", level.isa(), metric);
                }
            }
        }
    }
}
