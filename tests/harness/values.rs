//! Values that arithmetic gets wrong most easily, as proptest strategies: sums that cancel, subnormals, tails
//! of every weight, both zeros, neighbours one unit apart, and powers of two at the ends of the range.

use proptest::prelude::*;
use proptest::sample::Index;

/// One finite value: uniform, zero of either sign, subnormal, log-normal, Cauchy or an extreme power of two.
pub fn value() -> impl Strategy<Value = f32> {
    let subnormal = (1u32..400).prop_map(f32::from_bits);
    // A sum of four uniform draws is close to normal; e to it reaches from 10⁻⁹ to 10⁹.
    let log_normal =
        [-5f32..5.0, -5f32..5.0, -5f32..5.0, -5f32..5.0].prop_map(|x| x.iter().sum::<f32>().exp());
    let cauchy = (0f32..1.57).prop_map(f32::tan);
    let power = prop::sample::select(vec![-149, -127, -126, -75, -64, -24, 0, 24, 62, 63, 64, 126, 127]);
    let extreme = power.prop_map(|exponent| 2f64.powi(exponent) as f32);
    let magnitude = prop_oneof![3 => 0f32..1.0, 1 => Just(0.0), 1 => subnormal, 1 => log_normal, 1 => cauchy, 1 => extreme];
    (magnitude, any::<bool>()).prop_map(|(x, negative)| if negative { -x } else { x })
}

/// What is done to a row of single values.
#[derive(Debug, Clone, Copy)]
enum Twist {
    Nothing,
    /// All values of one kind of number: uniform ones, which lie as close as bounds are tight.
    Tame,
    /// The second half takes back the first, up to one small component.
    Cancels,
    /// One component outweighs all others.
    Outlier,
    /// The row before, one component moved by one unit in the last place.
    Neighbour,
}

/// `count` rows of `dim` ≥ 1 finite values, row-major.
pub fn rows(count: usize, dim: usize) -> impl Strategy<Value = Vec<f32>> {
    use Twist::{Cancels, Neighbour, Nothing, Outlier, Tame};
    let twist = prop::sample::select(vec![Nothing, Tame, Cancels, Outlier, Neighbour]);
    let row = (twist, prop::collection::vec((value(), -1f32..1.0), dim), any::<Index>());
    prop::collection::vec(row, count).prop_map(move |drawn| {
        let mut rows: Vec<f32> = Vec::with_capacity(count * dim);
        for (twist, values, index) in drawn {
            let mut row: Vec<f32> = values.iter().map(|&(any, _)| any).collect();
            let tame = values.iter().map(|&(_, tame)| tame);
            let at = index.index(dim);
            match twist {
                Nothing => {}
                Tame => row = tame.collect(),
                Cancels => {
                    let (first, second) = row.split_at_mut(dim.div_ceil(2));
                    second.iter_mut().zip(first).for_each(|(taken, given)| *taken = -*given);
                    row[at] = 2f32.powi(-24);
                }
                Outlier => {
                    row = tame.collect();
                    row[at] *= 1e7;
                }
                Neighbour => {
                    if let Some(before) = rows.len().checked_sub(dim) {
                        row = rows[before..].to_vec();
                    }
                    let next = row[at].next_up();
                    row[at] = if next.is_finite() { next } else { row[at] };
                }
            }
            rows.extend(row);
        }
        rows
    })
}
