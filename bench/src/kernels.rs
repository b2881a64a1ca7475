//! Kernel workloads: each level of this machine beside the scalar oracle, same input, one thread and all.

use tensor_datasets::generate::{bernoulli_sparse, clustered_dense};
use tensor_kernels::{
    Int8Mode, Isa, KMeansOptions, KernelError, Kernels, Measure, Metric, SparseVec, Threads, Thresholds,
    Wanted,
};

use crate::error::BenchError;
use crate::record::{Case, Record};
use crate::timing::{Budget, samples};

/// Measures every kernel workload into `record`.
///
/// # Errors
/// A wrong answer, or a kernel that refuses its input.
pub fn run(record: &mut Record, budget: Budget, quick: bool) -> Result<(), BenchError> {
    let (rows, corpus) = if quick { (256, 1_000) } else { (4_096, 20_000) };
    let deltas = Kernels::scalar()?.delta(&bernoulli_sparse(rows, 768, 0.05, 1)?)?.value;
    let pairs = rows as f64 * (rows as f64 - 1.0) / 2.0;
    let variant = format!("{rows} deltas, dim 768, 5 %");
    compare(record, budget, ("conflict_matrix", &variant), (pairs, "pairs"), |kernels| {
        Ok(kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default())?.value)
    })?;

    let sparse = bernoulli_sparse(rows, 768, 0.05, 1)?;
    let query = SparseVec::new(768, sparse.row(0).0.to_vec(), sparse.row(0).1.to_vec())?;
    let variant = format!("1 × {rows}, dim 768, 5 %, cosine");
    compare(record, budget, ("sparse_pair", &variant), (rows as f64, "pairs"), |kernels| {
        Ok(kernels.sparse_one_to_many(&query, &sparse, Measure::Cosine)?.value)
    })?;
    let variant = format!("{rows} rows, dim 768, 5 %");
    compare(record, budget, ("delta", &variant), (sparse.nnz() as f64, "values"), |kernels| {
        Ok(kernels.delta(&sparse)?.value)
    })?;

    let points = clustered_dense(corpus, 128, 64, 0.5, 4)?;
    let variant = format!("{corpus} × 128, k = 64, 10 rounds");
    let options = KMeansOptions { k: 64, max_iterations: 10, seed: 1, metric: Metric::L2 };
    compare(record, budget, ("kmeans", &variant), (corpus as f64, "rows"), |kernels| {
        Ok(kernels.kmeans(points.view()?, &options)?.value)
    })?;
    let book = Kernels::detect()?.kmeans(points.view()?, &options)?.value.codebook;
    let variant = format!("{corpus} × 128, k = 64");
    compare(record, budget, ("quantize", &variant), (corpus as f64, "rows"), |kernels| {
        Ok(kernels.quantize(&book, points.view()?)?.value)
    })?;
    let values = (corpus * 128) as f64;
    let variant = format!("{corpus} × 128, symmetric");
    compare(record, budget, ("int8", &variant), (values, "values"), |kernels| {
        Ok(kernels.int8_quantize(points.view()?, Int8Mode::Symmetric).value)
    })?;

    for (queries, dim) in [(1, 768), (64, 128)] {
        let data = clustered_dense(corpus, dim, 100, 0.5, 2)?;
        let asked = clustered_dense(queries, dim, 100, 0.5, 3)?;
        let (data, asked) = (data.view()?, asked.view()?);
        let variant = format!("{queries} × {corpus} × {dim}, top 10");
        let scored = (queries * corpus) as f64;
        compare(record, budget, ("search", &variant), (scored, "rows"), |kernels| {
            Ok(kernels.search(data, asked, Metric::Cosine, Wanted::Top(10))?.value)
        })?;
    }
    Ok(())
}

/// Times one operation on the oracle and then on every SIMD level, after checking that they agree.
fn compare<T: PartialEq>(
    record: &mut Record,
    budget: Budget,
    (workload, variant): (&'static str, &str),
    (units, unit): (f64, &str),
    operation: impl Fn(&Kernels) -> Result<T, KernelError>,
) -> Result<(), BenchError> {
    let oracle = Kernels::scalar()?;
    let expected = operation(&oracle)?;
    let all = Threads::Auto.count();
    let mut runs = vec![oracle];
    for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Scalar) {
        runs.push(Kernels::new(isa, Threads::from_count(1))?);
        if all > 1 {
            runs.push(Kernels::new(isa, Threads::from_count(all))?);
        }
    }
    for kernels in runs {
        let (isa, threads) = (kernels.isa(), kernels.threads());
        if operation(&kernels)? != expected {
            return Err(BenchError::WrongAnswer { workload, isa, threads });
        }
        let case = Case::new(workload, "tensor-kernels", variant).on(isa, threads);
        record.cases.push(case.timed(samples(budget, || operation(&kernels)), units, unit));
    }
    Ok(())
}
