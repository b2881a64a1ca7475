//! `w3`: conflict classes of all pairs of dense rows by their cosine, from f32 rows and (`w3i`) from int8 codes.
//!
//! The oracle classifies the first rows among themselves.

use tensor_kernels::{ByteView, ClassMatrix, CosineRows, DenseView, Int8Mode, Kernels, Thresholds};

use super::search::sample;
use crate::error::BenchError;
use crate::inputs;
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::Work;

/// Rows that the oracle classifies too.
const SAMPLE: usize = 128;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if let Some(data) = bench.data() {
        let rows = data.dense()?;
        let work =
            |name: &str, kind: &str| Work::dense_pairs(name, rows.rows(), rows.dim(), kind).of(&data.name);
        return both(bench, &work("dense", "f32"), &work("dense", "int8 codes"), rows);
    }
    let rows = if bench.options.quick { 256 } else { 4_096 };
    let (f32s, codes) = if bench.options.is_matrix() { ("dense", "dense") } else { ("w3", "w3i") };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[128, 768]) {
            let dim = dim as usize;
            let (f32s, codes) =
                (Work::dense_pairs(f32s, n, dim, "f32"), Work::dense_pairs(codes, n, dim, "int8 codes"));
            if bench.wants(&f32s) || bench.wants(&codes) {
                let rows = inputs::points(n, dim)?;
                both(bench, &f32s, &codes, rows.view()?)?;
            }
        }
    }
    Ok(())
}

fn both(bench: &mut Bench, f32s: &Work, codes: &Work, rows: DenseView<'_>) -> Result<(), BenchError> {
    let few = sample(rows, SAMPLE)?;
    if bench.wants(f32s) {
        classes(bench, f32s, rows.into(), few.view()?.into())?;
    }
    if bench.wants(codes) {
        let bytes = Kernels::detect()?.int8_quantize(rows, Int8Mode::Symmetric).value;
        let all = ByteView::new(bytes.codes(), rows.rows(), rows.dim())?;
        let first = ByteView::new(&bytes.codes()[..few.values().len()], few.rows(), rows.dim())?;
        classes(bench, codes, all.into(), first.into())?;
    }
    Ok(())
}

fn classes(
    bench: &mut Bench,
    work: &Work,
    rows: CosineRows<'_>,
    first: CosineRows<'_>,
) -> Result<(), BenchError> {
    let thresholds = Thresholds::default();
    let oracle = Kernels::scalar()?.cosine_classes(first, &thresholds).value;
    let check = |all: &ClassMatrix| Ok(begins_with(all, &oracle));
    let kernels = bench.kernels()?;
    let out = ClassMatrix::orthogonal(rows.rows())?;
    bench.ours_into(work, Some(Limit::Int8Best), &kernels, out, check, |kernels, out| {
        kernels.cosine_classes_into(rows, &thresholds, out).map(|_| ())
    })
}

fn begins_with(all: &ClassMatrix, first: &ClassMatrix) -> bool {
    (0..first.rows()).all(|a| (a + 1..first.rows()).all(|b| all.class_of(a, b) == first.class_of(a, b)))
}
