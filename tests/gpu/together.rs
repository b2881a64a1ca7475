//! Small searches of many threads in one corpus on one device: each gets its own answer, whoever asked for it.

use tensor_kernels::{ByteView, DenseView, Kernels, Metric, SearchOptions, SearchRows, Wanted};

use crate::rows::{bytes, scattered};
use crate::{kernels, shared};

#[test]
fn eight_threads_search_one_corpus_on_one_device() {
    let Some(gpu) = shared() else { return };
    let (gpu, oracle) = (kernels(gpu), Kernels::scalar().unwrap());
    let (rows, dim) = (600, 48);
    let mut draw = scattered(11);
    let values: Vec<f32> = (0..rows * dim).map(|_| draw() as f32 / 32_768.0 - 1.0).collect();
    let codes = bytes(rows, dim, 12);
    let (floats, signed) =
        (DenseView::new(&values, rows, dim).unwrap(), ByteView::new(&codes, rows, dim).unwrap());
    // Never searched before, so the threads also meet while it is sent to the device.
    let corpus = gpu.corpus(floats).value;
    let ask = |kernels: &Kernels, row: usize, thread: usize| {
        let metric = [Metric::Dot, Metric::L2][thread / 4 % 2];
        let options = SearchOptions::new(metric, Wanted::Top(3));
        // Two queries from the row on, as floats or as bytes.
        let queries: SearchRows<'_> = match thread % 4 {
            3 => ByteView::new(&signed.codes()[row * dim..][..2 * dim], 2, dim).unwrap().into(),
            _ => DenseView::new(&values[row * dim..][..2 * dim], 2, dim).unwrap().into(),
        };
        match kernels.accelerator() {
            Some(_) => kernels.search_corpus(&corpus, queries, &options).unwrap(),
            None => kernels.search(floats, queries, options.metric, options.wanted).unwrap(),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (gpu, oracle, ask) = (&gpu, &oracle, &ask);
            scope.spawn(move || {
                for row in (thread..rows - 1).step_by(37) {
                    let run = ask(gpu, row, thread);
                    assert_eq!(run.info.fallback, None);
                    assert_eq!(run.value, ask(oracle, row, thread).value, "thread {thread}, row {row}");
                }
            });
        }
    });
    let submissions: u64 = gpu.asked().values().sum();
    assert!((1..=8 * 17).contains(&submissions), "{submissions} for {} searches", 8 * 17);
}
