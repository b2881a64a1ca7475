//! Questions whose answers are known: a device that gets one wrong is never used.
//!
//! Asked with the very kernels and tiles of production, at dimensions and numbers of rows that fill no chunk and no
//! workgroup, with the extreme digits in every place, and with sums above 2²⁴, where f32 stops counting.

use super::candidates::{Question, candidates, decisive, structural_factor};
use super::coded_rows::CodedRows;
use super::device::Gpu;
use super::fault::Fault;
use super::{conflict_matrix, cosine_classes};
use crate::exact::Comparison;
use crate::types::{ByteView, DeltaBatch, MIN_EXPONENT, Thresholds};
use crate::{DeltaVector, KernelError};

/// Rows and dimensions. 1,100 · 127² and 1,100 · 128² are above 2²⁴.
const SHAPES: [(usize, u32); 5] = [(2, 1), (31, 17), (33, 16), (65, 130), (34, 1_100)];

/// Asks everything once.
pub(super) fn check(gpu: &Gpu) -> Result<(), Fault> {
    let thresholds = Thresholds::default();
    // What is made here is canonical, so nothing is refused.
    let refused = |error: KernelError| Fault::Refused(error.to_string());
    let mut batches = vec![on_the_thresholds().map_err(refused)?];
    for (rows, dim) in SHAPES {
        for sparse in [false, true] {
            batches.push(deltas(rows, dim, sparse).map_err(refused)?);
        }
        let bytes: Vec<i8> = codes(rows, dim as usize).map(|code| (code >> 8) as i8).collect();
        let view = ByteView::new(&bytes, rows, dim as usize).map_err(refused)?;
        agree(gpu, &cosine_classes::question(CodedRows::Bytes(view), &thresholds))?;
    }
    for batch in &batches {
        for triangle in [true, false] {
            let job = Comparison { left: batch, right: batch, triangle, keys: None };
            agree(gpu, &conflict_matrix::question(&job, &thresholds))?;
        }
    }
    Ok(())
}

/// Pairs with the first row whose cosine is 0.1 or whose index of shared positions is one half, and such as are one
/// code beside.
fn on_the_thresholds() -> Result<DeltaBatch, KernelError> {
    let rows: [&[i16]; 10] = [
        &[1],
        &[1, 9, 3, 3],
        &[-1, 9, 3, 3],
        &[1, 9, 3, 4],
        &[100, 900, 300, 300],
        &[-3_600, 32_400, 10_800, 10_800],
        &[3_600, 32_400, 10_800, 10_801],
        &[3_600, 32_401, 10_800, 10_800],
        &[1, 100],
        &[-1, 100],
    ];
    let vectors = rows.map(|codes| {
        DeltaVector::from_canonical(4, (0..4).take(codes.len()).collect(), codes.to_vec(), MIN_EXPONENT)
    });
    DeltaBatch::pack(4, vectors.into_iter().collect::<Result<Vec<_>, _>>()?.iter())
}

/// Holds the device's candidates to those of plain loops over the same integers.
fn agree(gpu: &Gpu, question: &Question<'_>) -> Result<(), Fault> {
    let mut expected = Vec::new();
    for i in 0..question.left.rows() {
        let first = if question.triangle { i + 1 } else { 0 };
        for j in first..question.right.rows() {
            if !surely_orthogonal(question, i, j) {
                expected.push((i as u32, j as u32));
            }
        }
    }
    if candidates(gpu, std::slice::from_ref(question))? == [expected] {
        Ok(())
    } else {
        Err(Fault::Mismatch("a known answer"))
    }
}

/// What the kernel asks of a pair, in wide integers.
fn surely_orthogonal(question: &Question<'_>, i: usize, j: usize) -> bool {
    let dense = |rows: CodedRows<'_>, row| {
        let mut dense = vec![0i64; rows.dim()];
        for component in rows.components(row) {
            dense[component.position] = i64::from(component.high) * 256 + i64::from(component.low);
        }
        dense
    };
    let (left, right) = (dense(question.left, i), dense(question.right, j));
    let dot: i64 = left.iter().zip(&right).map(|(x, y)| x * y).sum();
    let shared = left.iter().zip(&right).filter(|&(&x, &y)| x != 0 && y != 0).count() as u64;
    let (l, r) = (decisive(question.left, i, question), decisive(question.right, j, question));
    let shared = if question.structural.is_some() { shared } else { 0 };
    u128::from(dot.unsigned_abs()) << 13 < u128::from(l.reach) * u128::from(r.root)
        && shared * u64::from(structural_factor(question)) < u64::from(l.positions) + u64::from(r.positions)
}

/// Codes in −32,768..=32,639 of which the first rows are the extremes and the others are scattered.
fn codes(rows: usize, dim: usize) -> impl Iterator<Item = i32> {
    // Numerical Recipes' generator: any will do that is the same everywhere.
    let mut state = 1u32;
    (0..rows * dim).map(move |place| {
        let (row, position) = (place / dim, place % dim);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let scattered = i32::from((state >> 16) as u16) - 32_768;
        match row {
            // Both digits 127, both −127, then 127 and −128.
            0 => 32_639,
            1 => -32_639,
            2 => 32_384,
            // High digits −128, which only bytes have: it becomes −32,639 in a delta.
            3 => -32_768,
            4 => [-128, 127, -32_512, 32_639][position % 4],
            5 => 0,
            6 => i32::from(position == 0) * 256,
            _ => scattered.min(32_639),
        }
    })
}

/// The codes as deltas, every position or one in three.
fn deltas(rows: usize, dim: u32, sparse: bool) -> Result<DeltaBatch, KernelError> {
    let mut codes = codes(rows, dim as usize);
    let row = |row: usize| {
        let drawn: Vec<i32> = codes.by_ref().take(dim as usize).collect();
        let kept = (0..dim).zip(drawn).filter(|&(position, code)| {
            code != 0 && (!sparse || (position as usize + row).is_multiple_of(3))
        });
        // Under the least exponent codes of any size are canonical.
        let (positions, codes) = kept.map(|(p, code)| (p, code.clamp(-32_639, 32_639) as i16)).unzip();
        DeltaVector::from_canonical(dim, positions, codes, MIN_EXPONENT)
    };
    let vectors = (0..rows).map(row).collect::<Result<Vec<_>, _>>()?;
    DeltaBatch::pack(dim, &vectors)
}
