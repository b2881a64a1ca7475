//! Single operations under criterion, for work on one kernel: `cargo bench -p tensor-bench -- search`.
//! `tensor-bench` measures whole workloads, checks their answers and compares with others.
#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use criterion::{Criterion, criterion_group, criterion_main};
use tensor_bench::inputs;
use tensor_kernels::{Int8Mode, Isa, Kernels, Measure, Metric, Threads, Thresholds, Wanted};

fn kernels() -> Kernels {
    Kernels::new(Isa::best(), Threads::from_count(1)).expect("one thread")
}

fn dense(criterion: &mut Criterion) {
    let kernels = kernels();
    let (corpus, queries) = inputs::corpus_and_queries(10_000, 16, 128).expect("an input");
    let (corpus, queries) = (corpus.view().expect("rows"), queries.view().expect("rows"));
    criterion.bench_function("search 16 x 10000 x 128", |bench| {
        bench.iter(|| kernels.search(corpus, queries, Metric::Dot, Wanted::Top(10)));
    });
    criterion.bench_function("int8 quantize 10000 x 128", |bench| {
        bench.iter(|| kernels.int8_quantize(corpus, Int8Mode::Symmetric));
    });
}

fn sparse(criterion: &mut Criterion) {
    let kernels = kernels();
    let batch = inputs::even_sparse(1_000, 768, 0.05).expect("an input");
    let deltas = kernels.delta(&batch).expect("deltas").value;
    let pairs: Vec<_> = (1..1_000).map(|row| (0, row)).collect();
    criterion.bench_function("sparse pair, cosine, 999 pairs", |bench| {
        bench.iter(|| kernels.sparse_pair(&batch, &batch, &pairs, Measure::Cosine));
    });
    criterion.bench_function("delta 1000 rows", |bench| bench.iter(|| kernels.delta(&batch)));
    criterion.bench_function("conflict classes of 1000 deltas", |bench| {
        bench.iter(|| kernels.conflict_matrix((&deltas).into(), None, &Thresholds::default()));
    });
}

criterion_group!(operations, dense, sparse);
criterion_main!(operations);
