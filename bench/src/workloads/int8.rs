//! `w7`: rows to signed bytes and back, into memory that the caller keeps: new pages would cost more than the
//! work. The oracle does the first 2,000 rows.

use tensor_kernels::{AlignedBuf, DenseView, Int8Mode, Int8Rows, Kernels};

use super::search::sample;
use crate::error::BenchError;
use crate::inputs;
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::Work;

const MODE: Int8Mode = Int8Mode::Symmetric;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    if let Some(data) = bench.data() {
        let rows = data.dense()?;
        let work = |what| Work::int8("int8 rows", what, rows.rows(), rows.dim()).of(&data.name);
        return there_and_back(bench, &work("quantize"), &work("dequantize"), rows);
    }
    let rows = if bench.options.quick { 1_000 } else { 100_000 };
    let name = if bench.options.is_matrix() { "int8 rows" } else { "w7" };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[768]) {
            let work = |what| Work::int8(name, what, n, dim as usize);
            let (there, back) = (work("quantize"), work("dequantize"));
            if bench.wants(&there) || bench.wants(&back) {
                let rows = inputs::points(n, dim as usize)?;
                there_and_back(bench, &there, &back, rows.view()?)?;
            }
        }
    }
    Ok(())
}

fn there_and_back(
    bench: &mut Bench,
    there: &Work,
    back: &Work,
    values: DenseView<'_>,
) -> Result<(), BenchError> {
    let few = sample(values, 2_000)?;
    let oracle = Kernels::scalar()?;
    let first_codes = oracle.int8_quantize(few.view()?, MODE).value;
    let first_values = oracle.int8_dequantize(&first_codes).value;
    let kernels = bench.kernels()?;
    if bench.wants(there) {
        let check = |codes: &Int8Rows| {
            Ok(codes.codes().starts_with(first_codes.codes())
                && codes.scales().starts_with(first_codes.scales()))
        };
        let out = Int8Rows::zeroed(MODE, values.rows(), values.dim())?;
        bench.ours_into(there, Some(Limit::Copy), &kernels, out, check, |kernels, codes| {
            kernels.int8_quantize_into(values, codes).map(drop)
        })?;
    }
    if bench.wants(back) {
        let codes = Kernels::detect()?.int8_quantize(values, MODE).value;
        let out = AlignedBuf::<f32>::zeroed(codes.codes().len());
        let check = |values: &AlignedBuf<f32>| Ok(values.starts_with(&first_values));
        bench.ours_into(back, Some(Limit::Copy), &kernels, out, check, |kernels, values| {
            kernels.int8_dequantize_into(&codes, values).map(drop)
        })?;
    }
    Ok(())
}
