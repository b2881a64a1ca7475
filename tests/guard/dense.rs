//! Operations on dense rows: few long rows, then many short ones, each with its last value at the edge.

use tensor_kernels::{
    ByteView, Codebook, CosineRows, DenseView, HalfKind, HalfView, Int8Mode, Int8Rows, KMeansCodesOptions,
    KMeansOptions, KMeansStream, Metric, RowMask, SearchOptions, StreamRate, Thresholds, Wanted,
};

use crate::inputs::{codes, halves, values};
use crate::memory::{Lent, Place};
use crate::sweep::{LONGEST, MOST_ROWS, sweep};

const METRICS: [Metric; 3] = [Metric::Dot, Metric::L2, Metric::Cosine];
const LEARNED: [Metric; 2] = [Metric::L2, Metric::Cosine];
const MODES: [Int8Mode; 2] = [Int8Mode::Symmetric, Int8Mode::MinMax];

/// Rows and dimension that a length stands for.
type Shape = fn(usize) -> (usize, usize);

/// Rows of no dimension are no rows.
const LONG_ROWS: Shape = |length| (if length == 0 { 0 } else { 3 }, length);
const MANY_ROWS: Shape = |length| (length, 5);
const SHAPES: [(Shape, usize); 2] = [(LONG_ROWS, LONGEST), (MANY_ROWS, LONGEST)];
/// Where the work grows with the square of the rows.
const PAIR_SHAPES: [(Shape, usize); 2] = [(LONG_ROWS, LONGEST), (MANY_ROWS, MOST_ROWS)];

/// Rows in their place.
struct Rows {
    data: Lent<f32>,
    rows: usize,
    dim: usize,
}

impl Rows {
    fn new(place: Place, (rows, dim): (usize, usize)) -> Self {
        Self { data: place.copy(&values(rows * dim)), rows, dim }
    }

    fn view(&self) -> DenseView<'_> {
        DenseView::new(&self.data, self.rows, self.dim).unwrap()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn book(metric: Metric, entries: usize, dim: usize) -> Codebook {
    let entries = if dim == 0 { 0 } else { entries };
    Codebook::new(metric, entries, dim, values(entries * dim + 7)[7..].to_vec()).unwrap()
}

#[test]
fn int8() {
    for (shape, longest) in SHAPES {
        sweep("int8_quantize", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            MODES.map(|mode| {
                let quantized = kernels.int8_quantize(rows.view(), mode).value;
                let mut again = Int8Rows::zeroed(mode, rows.rows, rows.dim).unwrap();
                kernels.int8_quantize_into(rows.view(), &mut again).unwrap();
                assert_eq!(again, quantized);
                quantized
            })
        });
        sweep("int8_dequantize_into", longest, 4, |kernels, length, place| {
            let (rows, dim) = shape(length);
            MODES.map(|mode| {
                let values = values(rows * dim);
                let stored = kernels.int8_quantize(DenseView::new(&values, rows, dim).unwrap(), mode).value;
                let mut out = place.copy(&vec![f32::NAN; rows * dim]);
                kernels.int8_dequantize_into(&stored, &mut out).unwrap();
                bits(&out)
            })
        });
    }
}

#[test]
fn half() {
    for (shape, longest) in SHAPES {
        sweep("half_widen_into", longest, 2, |kernels, length, place| {
            let (rows, dim) = shape(length);
            HalfKind::ALL.map(|kind| {
                let stored = place.copy(&halves(rows * dim));
                let mut out = place.copy(&vec![f32::NAN; rows * dim]);
                let view = HalfView::from_bits(kind, &stored, rows, dim).unwrap();
                kernels.half_widen_into(view, &mut out).unwrap();
                bits(&out)
            })
        });
        sweep("half_narrow", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            HalfKind::ALL.map(|kind| kernels.half_narrow(rows.view(), kind).unwrap().value)
        });
    }
}

#[test]
fn search() {
    for (shape, longest) in SHAPES {
        sweep("search", longest, 4, |kernels, length, place| {
            let corpus = Rows::new(place, shape(length));
            let queries = Rows::new(place, (if corpus.dim == 0 { 0 } else { 2 }, corpus.dim));
            METRICS.map(|metric| {
                [Wanted::Top(3), Wanted::Within("0.5".parse().unwrap())].map(|wanted| {
                    kernels.search(corpus.view(), queries.view(), metric, wanted).unwrap().value
                })
            })
        });
        sweep("search_corpus", longest, 4, |kernels, length, place| {
            let corpus = Rows::new(place, shape(length));
            let queries = Rows::new(place, (if corpus.dim == 0 { 0 } else { 2 }, corpus.dim));
            let packed = kernels.corpus(corpus.view()).value;
            let mask = RowMask::from_fn(corpus.rows, |row| row % 3 != 1);
            METRICS.map(|metric| {
                let options = SearchOptions::new(metric, Wanted::Top(3)).only(&mask);
                kernels.search_corpus(&packed, queries.view(), &options).unwrap().value
            })
        });
    }
    // One corpus, as many queries as the length.
    sweep("search, many queries", LONGEST, 4, |kernels, length, place| {
        let (corpus, queries) = (Rows::new(place, (40, 5)), Rows::new(place, (length, 5)));
        kernels.search(corpus.view(), queries.view(), Metric::L2, Wanted::Top(2)).unwrap().value
    });
}

#[test]
fn cosine_classes() {
    for (shape, longest) in PAIR_SHAPES {
        sweep("cosine_classes of f32", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            let classes = kernels.cosine_classes(rows.view(), &Thresholds::default()).value;
            assert_eq!(
                kernels.cosine_conflicts(rows.view(), &Thresholds::default()).value,
                classes.to_list()
            );
            classes
        });
        sweep("cosine_classes of bytes", longest, 1, |kernels, length, place| {
            let (rows, dim) = shape(length);
            let codes = place.copy(&codes(rows * dim));
            let view = CosineRows::from(ByteView::new(&codes, rows, dim).unwrap());
            kernels.cosine_classes(view, &Thresholds::default()).value
        });
    }
}

#[test]
fn quantize() {
    for (shape, longest) in SHAPES {
        sweep("quantize", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            LEARNED.map(|metric| {
                let book = book(metric, 9, rows.dim);
                let nearest = kernels.quantize(&book, rows.view()).unwrap().value;
                let stages = if book.is_empty() { vec![] } else { vec![book.clone(), book] };
                (nearest, kernels.hierarchical_codes(&stages, rows.view()).unwrap().value)
            })
        });
    }
}

#[test]
fn kmeans() {
    for (shape, longest) in SHAPES {
        sweep("kmeans", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            LEARNED.map(|metric| {
                let options = KMeansOptions { k: 3, max_iterations: 2, seed: 7, metric };
                kernels.kmeans(rows.view(), &options).unwrap().value
            })
        });
        sweep("kmeans_stream", longest, 4, |kernels, length, place| {
            let rows = Rows::new(place, shape(length));
            let start = book(Metric::L2, 3, rows.dim);
            let mut stream = KMeansStream::new(start, StreamRate::Mean).unwrap();
            let nearest = kernels.kmeans_stream(&mut stream, rows.view()).unwrap().value;
            (nearest, stream)
        });
        sweep("kmeans_codes", longest, 1, |kernels, length, place| {
            let (rows, dim) = shape(length);
            let options = KMeansCodesOptions { k: 3, max_iterations: 2, seed: 7, exponent: -7, epoch: 1 };
            let codes = place.copy(&codes(rows * dim));
            kernels.kmeans_codes(&codes, dim.max(1) as u32, &options).unwrap().value
        });
    }
}

#[test]
fn rows_with_a_gap_between_them() {
    sweep("strided rows", LONGEST, 4, |kernels, length, place| {
        // The last row has no gap behind it; the gaps hold what no view would accept.
        let (dim, stride) = (length.max(1), length.max(1) + 3);
        let mut data = values(2 * stride + dim);
        for gap in data.chunks_mut(stride).filter(|row| row.len() == stride) {
            gap[dim..].fill(f32::NAN);
        }
        let data = place.copy(&data);
        let view = DenseView::with_stride(&data, 3, dim, stride).unwrap();
        let found = kernels.search(view, view, Metric::Cosine, Wanted::Top(2)).unwrap().value;
        let stored = kernels.int8_quantize(view, Int8Mode::MinMax).value;
        let classes = kernels.cosine_classes(view, &Thresholds::default()).value;
        (found, stored, classes, kernels.half_narrow(view, HalfKind::Bf16).unwrap().value)
    });
}
