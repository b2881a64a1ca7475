//! What the filters leave out is never nearest, on every level, whatever the values.

use proptest::prelude::*;

use super::*;
use crate::Isa;
use crate::exact::Dyadic;

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().into_iter().filter_map(Level::open)
}

fn squared_distance(x: &[f32], c: &[f32]) -> Dyadic {
    x.iter().zip(c).map(|(&x, &c)| (Dyadic::from_f32(x) - Dyadic::from_f32(c)).squared()).sum()
}

fn product(x: &[f32], c: &[f32]) -> Dyadic {
    Dyadic::dot(x.iter().copied().zip(c.iter().copied()))
}

/// Frame and centroids as for Euclidean distance, with a centre, and for dot products, without.
fn frames(centroids: &[f32], dim: usize) -> [(bool, Frame, ByteCentroids); 2] {
    [true, false].map(|euclidean| {
        let all = || centroids.chunks_exact(dim);
        let sample = centroids.chunks_exact(if euclidean { dim } else { usize::MAX });
        let frame = Frame::new(dim, unit_exponent(centroids), sample);
        let bytes = ByteCentroids::round(&frame, euclidean, all());
        (euclidean, frame, bytes)
    })
}

/// Checks the candidates of all rows, and that not more than `most` are left of each, on average.
fn check_candidates(rows: &[f32], centroids: &[f32], dim: usize, most: f64) {
    let n = rows.len() / dim;
    for (euclidean, frame, bytes) in frames(centroids, dim) {
        for level in levels() {
            let points = BytePoints::round(level, &frame, 0..n, |row| &rows[row * dim..][..dim]);
            let mut filter = Filter::new(level, &bytes);
            let mut left = 0;
            for (panel, rows) in rows.chunks(SIDE * dim).enumerate() {
                let found = filter.candidates(&points, panel);
                for (lane, x) in rows.chunks_exact(dim).enumerate() {
                    // Both ascend: a greater product is nearer.
                    let key = |c: &[f32]| if euclidean { -squared_distance(x, c) } else { product(x, c) };
                    let best = centroids.chunks_exact(dim).map(key).max().unwrap();
                    let ids: Vec<u32> = match found.of(lane) {
                        Found::Decided(id) => vec![id],
                        Found::OneOf(_) => found.ids(lane).collect(),
                    };
                    for (id, c) in (0..).zip(centroids.chunks_exact(dim)) {
                        assert!(
                            ids.contains(&id) || key(c) < best,
                            "{}: {id} lost, {euclidean}",
                            level.isa()
                        );
                    }
                    // Where one is left the row is decided; of a single centroid nothing need be known for that.
                    let expected = match ids[..] {
                        [id] if centroids.len() > dim => Found::Decided(id),
                        [_] => found.of(lane),
                        _ => Found::OneOf(ids.len() as u32),
                    };
                    assert_eq!(found.of(lane), expected);
                    left += ids.len();
                }
            }
            assert!(left as f64 <= most * n as f64, "{}: {left} left of {n} rows", level.isa());
        }
    }
}

/// Values that ruin scales, tie, or differ by one unit in the last place.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => -1.0f32..1.0,
        3 => (-2i8..=2).prop_map(f32::from),
        2 => prop_oneof![Just(1.0f32.next_up()), Just(1.0f32.next_down()), Just(-0.0)],
        1 => prop_oneof![Just(1e30f32), Just(-1e30), Just(1e-30), Just(f32::from_bits(1)), Just(1e3)],
        1 => prop_oneof![Just(f32::MAX), Just(f32::MIN)],
    ]
}

#[test]
fn well_separated_centroids_leave_one() {
    let dim = 128;
    let centroids: Vec<f32> =
        (0..70 * dim).map(|i| ((i * 7919 + i / dim * 31) % 200) as f32 - 100.0).collect();
    let rows: Vec<f32> = centroids.iter().enumerate().map(|(i, c)| c + ((i * 13) % 7) as f32).collect();
    check_candidates(&rows, &centroids, dim, 1.0);
}

#[test]
fn many_blocks_of_centroids() {
    let values: Vec<f32> = (0..549 * 3).map(|i| ((i * i) % 1_009) as f32).collect();
    check_candidates(&values[..99], &values, 3, f64::MAX);
}

#[test]
fn rows_on_a_bisector_keep_both() {
    let centroids = [[0.0f32; 40], [2.0; 40], [0.0; 40]].concat();
    check_candidates(&[1.0; 40], &centroids, 40, 3.0);
    check_candidates(&[1.0f32.next_up(); 40], &centroids, 40, 3.0);
}

proptest! {
    #[test]
    fn the_nearest_is_never_left_out(
        (dim, rows, centroids) in (1usize..40).prop_flat_map(|dim| {
            let side = |least: usize| (least..45).prop_flat_map(move |n| prop::collection::vec(value(), n * dim));
            (Just(dim), side(0), side(1))
        }),
    ) {
        check_candidates(&rows, &centroids, dim, f64::MAX);
    }

    #[test]
    fn what_is_not_near_is_no_nearer(
        (dim, data) in (1usize..40).prop_flat_map(|dim| (Just(dim), prop::collection::vec(value(), 45 * dim))),
        picked in prop::collection::vec((0usize..45, 0.9f32..1.1), 45),
    ) {
        let row = |row: usize| &data[row * dim..][..dim];
        let (candidates, rest) = (0..9, 45);
        let frame = Frame::new(dim, unit_exponent(&data), data.chunks_exact(dim));
        let bytes = ByteCentroids::round(&frame, true, candidates.clone().map(row));
        let unit = 2f64.powi(2 * unit_exponent(&data));
        // Squared distances in the frame, near those of some candidate.
        let distance = |x: usize, c: usize| -> f64 {
            row(x).iter().zip(row(c)).map(|(&x, &c)| (f64::from(x) - f64::from(c)).powi(2)).sum::<f64>() * unit
        };
        let squares: Vec<f32> =
            (0..rest).map(|x| distance(x, picked[x].0 % 9) as f32 * picked[x].1).collect();
        for level in levels() {
            let points = BytePoints::round(level, &frame, 0..rest, row);
            let mut near = Vec::new();
            perhaps_nearer(level, &points, &bytes, &squares, &mut near);
            for (x, &square) in squares.iter().enumerate() {
                for c in candidates.clone() {
                    // An f32 sum of so few terms is off by less than 2^-17.
                    let nearer = distance(x, c) * (1.0 - 1.0 / f64::from(1 << 17)) < f64::from(square);
                    prop_assert!(!nearer || near.contains(&(x as u32, c as u32)), "{}", level.isa());
                }
            }
        }
    }
}
