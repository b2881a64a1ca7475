//! `w7`: rows to signed bytes and back. The oracle does the first 2,000 rows.

use tensor_kernels::{Int8Mode, Kernels};

use super::search::sample;
use crate::error::BenchError;
use crate::inputs;
use crate::limits::Limit;
use crate::options::or_default;
use crate::runner::Bench;
use crate::work::Work;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let rows = if bench.options.quick { 1_000 } else { 100_000 };
    for n in or_default(&bench.options.n, &[rows]) {
        for dim in or_default(&bench.options.dim, &[768]) {
            let dim = dim as usize;
            measure(bench, n, dim)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench, rows: usize, dim: usize) -> Result<(), BenchError> {
    let name = if bench.options.is_matrix() { "int8 rows" } else { "w7" };
    let there = Work::int8(name, "quantize", rows, dim);
    let back = Work::int8(name, "dequantize", rows, dim);
    if !bench.wants(&there) && !bench.wants(&back) {
        return Ok(());
    }
    let input = inputs::points(rows, dim)?;
    let values = input.view()?;
    let few = sample(values, 2_000)?;
    let oracle = Kernels::scalar()?;
    let first_codes = oracle.int8_quantize(few.view()?, Int8Mode::Symmetric).value;
    let first_values = oracle.int8_dequantize(&first_codes).value;
    let kernels = bench.kernels()?;
    let codes = Kernels::detect()?.int8_quantize(values, Int8Mode::Symmetric).value;
    if bench.wants(&there) {
        let check = |answer: &tensor_kernels::Int8Rows| {
            Ok(answer.codes().starts_with(first_codes.codes())
                && answer.scales().starts_with(first_codes.scales()))
        };
        bench.ours(&there, Some(Limit::Copy), &kernels, check, |kernels| {
            Ok(kernels.int8_quantize(values, Int8Mode::Symmetric).value)
        })?;
    }
    if bench.wants(&back) {
        let check = |answer: &Vec<f32>| Ok(answer.starts_with(&first_values));
        bench.ours(&back, Some(Limit::Copy), &kernels, check, |kernels| {
            Ok(kernels.int8_dequantize(&codes).value)
        })?;
    }
    Ok(())
}
