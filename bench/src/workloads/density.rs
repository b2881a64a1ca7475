//! Speed against density: the same rows as sparse deltas and as dense f32, over the share of components present.
//!
//! Where rows fill up, the tile product of dense rows overtakes the lists of sparse ones; the report marks
//! the place. Dense rows are classified by cosine alone, sparse ones by all nine rules.

use tensor_kernels::{Kernels, SparseBatch, Thresholds};

use super::sparse_pairs::begins_like_the_oracle;
use crate::error::BenchError;
use crate::inputs::{self, Dense};
use crate::runner::{Bench, Contender, OURS, wrong};
use crate::work::Work;

/// Dimension of the rows.
const DIM: u32 = 768;

pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let rows = if bench.options.quick { 100 } else { 1_024 };
    for density in [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4] {
        let kind = format!("{} %", density * 100.0);
        let work = Work::sparse_pairs("density", "classes", rows, DIM, density, &kind);
        if bench.wants(&work) {
            both_ways(bench, &work, &inputs::even_sparse(rows, DIM, density)?)?;
        }
    }
    Ok(())
}

fn both_ways(bench: &mut Bench, work: &Work, batch: &SparseBatch<'_>) -> Result<(), BenchError> {
    let thresholds = Thresholds::default();
    let deltas = Kernels::detect()?.delta(batch)?.value;
    let dense = dense(batch);
    let (deltas, dense) = (&deltas, dense.view()?);
    let kernels = bench.kernels()?;
    let expected = Kernels::scalar()?.cosine_conflicts(dense, &thresholds).value;
    let mut contenders = Vec::new();
    for handle in &kernels {
        let list = handle.conflict_matrix(deltas.into(), None, &thresholds)?.value;
        let same = handle.cosine_conflicts(dense, &thresholds).value == expected;
        if !same || !begins_like_the_oracle(deltas, list.pairs())? {
            return Err(wrong(work, OURS, handle.isa().name(), handle.threads()));
        }
        let case = |name: &str| work.case(name).on(handle.isa(), handle.threads());
        let (sparse, dense_rows) =
            (case(&format!("{OURS}, sparse deltas")), case(&format!("{OURS}, dense rows")));
        let thresholds = &thresholds;
        let run = Box::new(move || drop(handle.conflict_matrix(deltas.into(), None, thresholds)));
        contenders.push(Contender { case: sparse, run });
        let run = Box::new(move || drop(handle.cosine_conflicts(dense, thresholds)));
        contenders.push(Contender { case: dense_rows, run });
    }
    bench.contest(work, None, contenders)
}

fn dense(batch: &SparseBatch<'_>) -> Dense {
    let dim = batch.dim() as usize;
    let mut values = vec![0.0; batch.rows() * dim];
    for (row, values) in values.chunks_exact_mut(dim).enumerate() {
        let (indices, numbers) = batch.row(row);
        indices.iter().zip(numbers).for_each(|(&index, &number)| values[index as usize] = number);
    }
    Dense::copy(values.chunks_exact(dim), dim)
}
