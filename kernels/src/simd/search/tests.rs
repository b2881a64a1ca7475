//! The oracle against big integers, and every SIMD level against the oracle, on rows made to be hard:
//! ties, one ulp apart, subnormal, zero, huge and tiny, and scores exactly on a threshold.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use proptest::prelude::*;

use super::{SIDE, by_bytes, search};
use crate::corpus::Corpus;
use crate::isa::{Isa, Level};
use crate::scalar;
use crate::types::{Decimal, DenseView, Metric, Neighbor, SearchOptions, SearchRows, Wanted};

mod hard;

const METRICS: [Metric; 3] = [Metric::Dot, Metric::Cosine, Metric::L2];

/// Rows end to end, and their number.
type Rows = (Vec<f32>, usize);

fn view(rows: &Rows, dim: usize) -> DenseView<'_> {
    DenseView::new(&rows.0, rows.1, dim).unwrap()
}

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().into_iter().filter_map(Level::open)
}

/// The oracle's answer, once every level has given the same bytes.
fn agreed(
    corpus: DenseView<'_>,
    queries: DenseView<'_>,
    metric: Metric,
    wanted: Wanted,
) -> Vec<Vec<Neighbor>> {
    agreed_on(corpus, queries, &SearchOptions::new(metric, wanted))
}

/// The same for any options.
fn agreed_on(
    corpus: DenseView<'_>,
    queries: DenseView<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    agreed_in(corpus.into(), queries.into(), options)
}

/// The same for any rows: every level, straight from the rows, packed, and packed a few rows at a time.
fn agreed_in(
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let expected = scalar::search::search(corpus, queries, options);
    for level in levels() {
        let (lying, packed) = (Corpus::unpacked(corpus), super::corpus(level, corpus));
        let mut got = vec![search(level, &lying, queries, options), search(level, &packed, queries, options)];
        if options.wanted != Wanted::Top(0) && queries.rows() > 0 {
            super::in_f32(queries, |asked| {
                got.push(by_bytes(level, &packed, queries, asked, options, SIDE));
                got.push(by_bytes(level, &lying, queries, asked, options, 2 * SIDE));
            });
        }
        for (way, got) in got.iter().enumerate() {
            assert_eq!(bits(got), bits(&expected), "{options:?} on {}, way {way}", level.isa());
        }
    }
    expected
}

fn bits(answers: &[Vec<Neighbor>]) -> Vec<Vec<(u32, u64)>> {
    answers.iter().map(|answer| answer.iter().map(|n| (n.row, n.score.to_bits())).collect()).collect()
}

fn rows_of(answers: &[Vec<Neighbor>]) -> Vec<Vec<u32>> {
    answers.iter().map(|answer| answer.iter().map(|n| n.row).collect()).collect()
}

/// x · 2^149: an integer for every f32.
fn scaled(x: f32) -> BigInt {
    let (bits, biased) = (x.to_bits() & 0x007f_ffff, (x.to_bits() >> 23) & 0xff);
    let magnitude =
        if biased == 0 { BigInt::from(bits) } else { BigInt::from(bits | 0x0080_0000) << (biased - 1) };
    if x < 0.0 { -magnitude } else { magnitude }
}

/// Exact search by sorting big integers.
fn brute_force(corpus: DenseView<'_>, query: &[f32], metric: Metric, wanted: Wanted) -> Vec<u32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| scaled(a) * scaled(b)).sum::<BigInt>();
    let distance =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| (scaled(a) - scaled(b)).pow(2)).sum::<BigInt>();
    // One unit of the scaled products.
    let one = BigInt::from(1) << 298u32;
    // a/√b against c/√d, where a zero root makes the quotient 0: by sign, then by square.
    let quotients = |a: &BigInt, b: &BigInt, c: &BigInt, d: &BigInt| -> Ordering {
        let sign = |x: &BigInt, root: &BigInt| (x * root).sign();
        sign(a, b).cmp(&sign(c, d)).then_with(|| match sign(a, b) {
            Sign::NoSign => Ordering::Equal,
            Sign::Plus => (a * a * d).cmp(&(c * c * b)),
            Sign::Minus => (c * c * b).cmp(&(a * a * d)),
        })
    };
    // Greater is nearer.
    let compare = |a: &[f32], b: &[f32]| match metric {
        Metric::Dot => dot(query, a).cmp(&dot(query, b)),
        Metric::L2 => distance(query, b).cmp(&distance(query, a)),
        Metric::Cosine => quotients(&dot(query, a), &dot(a, a), &dot(query, b), &dot(b, b)),
    };
    let within = |row: &[f32], t: i32| match metric {
        Metric::Dot => dot(query, row) * 10_000 >= one.clone() * t,
        Metric::L2 => t >= 0 && distance(query, row) * 100_000_000 <= one.clone() * t * t,
        Metric::Cosine => {
            let norms = dot(query, query) * dot(row, row);
            quotients(&(dot(query, row) * 10_000), &norms, &BigInt::from(t), &BigInt::from(1)).is_ge()
        }
    };
    let mut rows: Vec<u32> = (0..u32::try_from(corpus.rows()).unwrap()).collect();
    let row = |index: u32| corpus.row(index as usize);
    if let Wanted::Within(t) = wanted {
        rows.retain(|&index| within(row(index), t.ten_thousandths()));
    }
    rows.sort_by(|&a, &b| compare(row(b), row(a)).then(a.cmp(&b)));
    if let Wanted::Top(k) = wanted {
        rows.truncate(k);
    }
    rows
}

/// Components that collide, differ by an ulp, vanish or explode.
fn component() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (-3i8..=3).prop_map(f32::from),
        2 => prop_oneof![Just(1.0f32.next_up()), Just(1.0f32.next_down()), Just(-1.0f32.next_up())],
        1 => prop_oneof![Just(-0.0f32), Just(f32::from_bits(1)), Just(-f32::from_bits(3)), Just(1e-39)],
        1 => prop_oneof![Just(1e30f32), Just(-1e30), Just(1e-30), Just(-1e-30), Just(f32::MAX)],
        2 => -1.0f32..1.0,
    ]
}

/// Rows of one dimension: fresh ones, zeros, repetitions, and multiples by a power of two of earlier ones.
fn rows(dim: usize, most: usize) -> impl Strategy<Value = Rows> {
    let row = (0u8..8, any::<prop::sample::Index>(), prop::collection::vec(component(), dim));
    prop::collection::vec(row, 0..=most).prop_map(move |recipes| {
        let mut data: Vec<f32> = Vec::new();
        for (count, (kind, earlier, fresh)) in recipes.iter().enumerate() {
            let from = if count == 0 { 0 } else { earlier.index(count) * dim };
            let earlier = || data[from..from + dim].to_vec();
            let row = match kind {
                0 => vec![0.0; dim],
                1 if count > 0 => earlier(),
                2 if count > 0 => earlier().iter().map(|x| x / 2.0).collect(),
                _ => fresh.clone(),
            };
            data.extend(row);
        }
        (data, recipes.len())
    })
}

/// Rows as an application has them: all components of one kind, at one scale.
fn ordinary_rows(dim: usize, count: std::ops::Range<usize>) -> impl Strategy<Value = Rows> {
    let kind = prop_oneof![Just(0.0f32), Just(1e-12), Just(1.0)];
    count.prop_flat_map(move |count| {
        (kind.clone(), prop::collection::vec(-1.0f32..1.0, dim * count)).prop_map(move |(noise, mut data)| {
            // Without noise all components are ±1: full of ties.
            data.iter_mut()
                .for_each(|x| *x = x.signum() * if noise == 1.0 { x.abs() } else { 1.0 + noise * *x });
            (data, count)
        })
    })
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let threshold = prop_oneof![-20_000i32..=20_000, Just(0), Just(10_000), Just(-10_000), any::<i32>()];
    prop_oneof![
        (0usize..12).prop_map(Wanted::Top),
        Just(Wanted::Top(usize::MAX)),
        threshold.prop_map(|t| Wanted::Within(Decimal::from_ten_thousandths(t))),
    ]
}

fn metric() -> impl Strategy<Value = Metric> {
    prop::sample::select(&METRICS[..])
}

proptest! {
    #[test]
    fn hard_rows_are_ranked_as_big_integers_rank_them(
        (dim, corpus, queries) in (1usize..5).prop_flat_map(|dim| (Just(dim), rows(dim, 24), rows(dim, 3))),
        metric in metric(), wanted in wanted(),
    ) {
        let (corpus, queries) = (view(&corpus, dim), view(&queries, dim));
        let expected: Vec<_> =
            queries.iter().map(|query| brute_force(corpus, query, metric, wanted)).collect();
        prop_assert_eq!(rows_of(&agreed(corpus, queries, metric, wanted)), expected);
    }

    #[test]
    fn all_levels_agree_with_the_oracle_on_one_query_and_on_panels(
        (dim, corpus, queries) in prop::sample::select(&[1usize, 31, 32, 33][..]).prop_flat_map(|dim| {
            (Just(dim), prop_oneof![ordinary_rows(dim, 0..120), rows(dim, 40)], ordinary_rows(dim, 0..70))
        }),
        metric in metric(), wanted in wanted(),
    ) {
        agreed(view(&corpus, dim), view(&queries, dim), metric, wanted);
    }
}

#[test]
fn long_rows_over_many_blocks_agree() {
    let dim = 768;
    let value = |i: usize| {
        let mixed = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        f32::from(i16::from_be_bytes([(mixed >> 56) as u8, (mixed >> 48) as u8])) / 32_768.0
    };
    let mut data: Vec<f32> = (0..700 * dim).map(value).collect();
    // Three rows nearly on the first query, an ulp apart, and two exact copies of one another.
    let first = data[..dim].to_vec();
    for (row, component) in [(500, 7), (501, 8), (502, 9)] {
        data[row * dim..(row + 1) * dim].copy_from_slice(&first);
        data[row * dim + component] = data[row * dim + component].next_up();
    }
    data.copy_within(500 * dim..501 * dim, 650 * dim);
    let corpus = DenseView::new(&data, 700, dim).unwrap();
    let queries = DenseView::new(&data[..50 * dim], 50, dim).unwrap();
    for metric in METRICS {
        for wanted in
            [Wanted::Top(1), Wanted::Top(10), Wanted::Top(650), Wanted::Within("0.05".parse().unwrap())]
        {
            agreed(corpus, queries, metric, wanted);
        }
    }
    let nearest = &agreed(corpus, queries, Metric::L2, Wanted::Top(5))[0];
    assert_eq!(nearest[0], Neighbor { row: 0, score: 0.0 });
    let mut others: Vec<u32> = nearest[1..].iter().map(|n| n.row).collect();
    let copies: Vec<u32> = others.iter().copied().filter(|row| [500, 650].contains(row)).collect();
    assert_eq!(copies, [500, 650], "equal rows in ascending order");
    others.sort_unstable();
    assert_eq!(others, [500, 501, 502, 650]);
}

/// Metric, threshold, query, and rows on the threshold or beside it.
type Case<const DIM: usize> = (Metric, &'static str, [f32; DIM], [[f32; DIM]; 3]);

#[test]
fn a_score_on_the_threshold_is_within_and_an_ulp_beside_it_is_told_apart() {
    let cases: [Case<2>; 5] = [
        // 0.6 = 3/5.
        (Metric::Cosine, "0.6", [1.0, 0.0], [[3.0, 4.0], [3.0, 4f32.next_down()], [3.0, 4f32.next_up()]]),
        (Metric::Cosine, "-0.6", [1.0, 0.0], [[-3.0, 4.0], [-3.0, 4f32.next_up()], [-3.0, 4f32.next_down()]]),
        (Metric::Dot, "0.5", [0.5, 0.5], [[0.5, 0.5], [0.5, 0.5f32.next_up()], [0.5, 0.5f32.next_down()]]),
        (Metric::Dot, "0", [1.0, 1.0], [[1.0, -1.0], [1.0, -1f32.next_down()], [1.0, -1f32.next_up()]]),
        (Metric::L2, "5", [0.0, 0.0], [[3.0, 4.0], [3.0, 4f32.next_down()], [3.0, 4f32.next_up()]]),
    ];
    for (metric, threshold, query, rows) in cases {
        for scale in [1.0f32, 2f32.powi(-70), 2f32.powi(70)] {
            // The cosine does not depend on scale; the others are tried as they are.
            let scale = if metric == Metric::Cosine { scale } else { 1.0 };
            let data: Vec<f32> = rows.concat().iter().map(|x| x * scale).collect();
            let corpus = DenseView::new(&data, 3, 2).unwrap();
            let queries = DenseView::new(&query, 1, 2).unwrap();
            let found = agreed(corpus, queries, metric, Wanted::Within(threshold.parse().unwrap()));
            assert_eq!(rows_of(&found), [[1, 0]], "{metric} {threshold} at {scale:e}");
        }
    }
}

#[test]
fn what_f64_cannot_tell_from_the_threshold_is_told_apart() {
    // The third component moves the score by less than 2^-100 of itself.
    let e = 1e-20f32;
    let below = [[-3.0, 4.0, e], [-3.0, 4.0, 0.0], [-3.0, 4.0, -e]];
    let above = [[3.0, 4.0, e], [3.0, 4.0, 0.0], [3.0, 4.0, -e]];
    let halves = [[0.5, 7.0, -e], [0.5, 7.0, e], [0.5, 7.0, 0.0]];
    let cases: [(Case<3>, &[u32]); 5] = [
        ((Metric::Cosine, "0.6", [1.0, 0.0, 0.0], above), &[1]),
        ((Metric::Cosine, "-0.6", [1.0, 0.0, 0.0], below), &[0, 2, 1]),
        ((Metric::Dot, "0.5", [1.0, 0.0, e], halves), &[1, 2]),
        ((Metric::Dot, "-0.5", [-1.0, 0.0, e], halves), &[1, 2]),
        ((Metric::L2, "5", [0.0, 0.0, 0.0], above), &[1]),
    ];
    for ((metric, threshold, query, rows), expected) in cases {
        let data = rows.concat();
        let (corpus, queries) = (DenseView::new(&data, 3, 3).unwrap(), DenseView::new(&query, 1, 3).unwrap());
        let found = agreed(corpus, queries, metric, Wanted::Within(threshold.parse().unwrap()));
        assert_eq!(rows_of(&found), [expected], "{metric} {threshold}");
    }
}

#[test]
fn queries_beyond_the_range_of_the_filter_are_left_to_the_judge() {
    let least = f32::from_bits(1);
    // In f32 the first row's terms vanish and the second's is rounded up; the third's terms overflow.
    let cases = [([least, least], [0.75, 0.0], [0.5, 0.5]), ([1e21, 1e21], [-1e-10, 0.0], [-1e18, 1e18])];
    for (query, many, one) in cases {
        let mut data = many.repeat(60);
        data.extend(one);
        let corpus = DenseView::new(&data, 61, 2).unwrap();
        for count in [1, 20] {
            let queries = query.repeat(count);
            let queries = DenseView::new(&queries, count, 2).unwrap();
            let found = rows_of(&agreed(corpus, queries, Metric::Dot, Wanted::Top(1)));
            assert_eq!(found, vec![[60]; count], "{query:?}");
        }
    }
}

#[test]
fn zero_vectors_have_cosine_zero_and_ties_go_to_the_lower_row() {
    let corpus = [0.0, 0.0, 1.0, 0.0, -0.0, 0.0, 0.0, 2.0, -1.0, 0.0];
    let corpus = DenseView::new(&corpus, 5, 2).unwrap();
    let queries = DenseView::new(&[2.0, 0.0, 0.0, 0.0], 2, 2).unwrap();
    let found = agreed(corpus, queries, Metric::Cosine, Wanted::Top(9));
    assert_eq!(rows_of(&found), [[1, 0, 2, 3, 4], [0, 1, 2, 3, 4]]);
    assert_eq!(found[0].iter().map(|n| n.score).collect::<Vec<_>>(), [1.0, 0.0, 0.0, 0.0, -1.0]);
    let within =
        |t: &str| rows_of(&agreed(corpus, queries, Metric::Cosine, Wanted::Within(t.parse().unwrap())));
    assert_eq!(within("0"), [vec![1, 0, 2, 3], vec![0, 1, 2, 3, 4]]);
    assert_eq!(within("0.0001"), [vec![1], vec![]]);
}

#[test]
fn nothing_wanted_or_nothing_there_is_an_empty_answer() {
    let some = DenseView::new(&[1.0, 2.0], 2, 1).unwrap();
    let none = DenseView::new(&[], 0, 1).unwrap();
    for metric in METRICS {
        assert_eq!(agreed(some, some, metric, Wanted::Top(0)), [[], []]);
        assert_eq!(agreed(none, some, metric, Wanted::Top(3)), [[], []]);
        assert!(agreed(some, none, metric, Wanted::Top(3)).is_empty());
    }
    let negative = Wanted::Within(Decimal::from_ten_thousandths(-1));
    assert_eq!(agreed(some, some, Metric::L2, negative), [[], []]);
}

#[test]
fn rows_beyond_the_range_of_the_filter_are_left_to_the_judge() {
    // Squares and products overflow or vanish in f32; every order below is decided in f64 or exactly.
    let data =
        [3e38f32, 3e38, -3e38, 3e38, 1e-40, 1e-40, 1e-30, 2e-30, 1e20, -1e20, 1.0, 2.0, 1e-40, 1.1e-40];
    let corpus = DenseView::new(&data, 7, 2).unwrap();
    for metric in METRICS {
        for wanted in [Wanted::Top(1), Wanted::Top(3), Wanted::Within(Decimal::from_ten_thousandths(5_000))] {
            let found = rows_of(&agreed(corpus, corpus, metric, wanted));
            let expected: Vec<_> = corpus.iter().map(|q| brute_force(corpus, q, metric, wanted)).collect();
            assert_eq!(found, expected, "{metric} {wanted:?}");
        }
    }
}
