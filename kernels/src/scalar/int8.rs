//! Dense rows to signed bytes and back, one value at a time.

use crate::types::{DenseView, Int8Mode, Int8Rows, Mapping, scale_of};

/// The codes of each row.
pub(crate) fn quantize(rows: DenseView<'_>, mode: Int8Mode) -> Int8Rows {
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for row in rows.iter() {
        let (min, max) = extremes(row);
        let scale = scale_of(mode, min, max);
        let mapping = Mapping::new(mode, scale);
        codes.extend(row.iter().map(|&x| mapping.code(libm::rint(mapping.position(x)))));
        scales.push(scale);
    }
    Int8Rows::from_checked(mode, rows.dim(), codes, scales)
}

/// The least and the greatest value of a row; zeros for an empty one. Zeros are +0.
fn extremes(row: &[f32]) -> (f32, f32) {
    let first = row.first().copied().unwrap_or(0.0);
    let (least, greatest) =
        row.iter().fold((first, first), |(least, greatest), &x| (least.min(x), greatest.max(x)));
    (least + 0.0, greatest + 0.0)
}

/// The values of all codes, row-major.
pub(crate) fn dequantize(rows: &Int8Rows) -> Vec<f32> {
    let mut values = Vec::with_capacity(rows.codes().len());
    for (row, &scale) in rows.codes().chunks_exact(rows.dim().max(1)).zip(rows.scales()) {
        let mapping = Mapping::new(rows.mode(), scale);
        values.extend(row.iter().map(|&code| mapping.value(code)));
    }
    values
}
