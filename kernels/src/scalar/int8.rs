//! Dense rows to signed bytes and back, one value at a time.

use crate::types::{DenseView, Int8Rows, Mapping, scale_of};

/// The codes of each row, into `out` of the same shape.
pub(crate) fn quantize(rows: DenseView<'_>, out: &mut Int8Rows) {
    let (mode, dim) = (out.mode(), rows.dim().max(1));
    let (codes, scales) = out.parts_mut();
    for ((row, codes), scale) in rows.iter().zip(codes.chunks_exact_mut(dim)).zip(scales) {
        let (min, max) = extremes(row);
        *scale = scale_of(mode, min, max);
        let mapping = Mapping::new(mode, *scale);
        for (code, &x) in codes.iter_mut().zip(row) {
            *code = mapping.code(libm::rint(mapping.position(x)));
        }
    }
}

/// The least and the greatest value of a row; zeros for an empty one. Zeros are +0.
fn extremes(row: &[f32]) -> (f32, f32) {
    let first = row.first().copied().unwrap_or(0.0);
    let (least, greatest) =
        row.iter().fold((first, first), |(least, greatest), &x| (least.min(x), greatest.max(x)));
    (least + 0.0, greatest + 0.0)
}

/// The values of all codes, row-major, into as many.
pub(crate) fn dequantize(rows: &Int8Rows, out: &mut [f32]) {
    let dim = rows.dim().max(1);
    let rows_of = rows.codes().chunks_exact(dim).zip(rows.scales());
    for (out, (codes, &scale)) in out.chunks_exact_mut(dim).zip(rows_of) {
        let mapping = Mapping::new(rows.mode(), scale);
        for (value, &code) in out.iter_mut().zip(codes) {
            *value = mapping.value(code);
        }
    }
}
