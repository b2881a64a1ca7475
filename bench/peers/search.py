"""w1, w2 and w2i: the nearest rows by dot product, f32 or signed bytes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import intel
from isa import faiss_isa, numkong_isa
from registry import Inputs, Prepared, peer
from topk import top_k

K = 10
"""How many neighbours every search wants."""


def ids_of(result) -> np.ndarray:
    return np.asarray(result).reshape(-1, K)


@peer("w1", "numpy", "numpy")
def numpy_one(inputs: Inputs, threads: int) -> Prepared:
    rows, query = inputs.array("rows"), inputs.array("queries")[0]
    return Prepared(lambda: top_k((rows @ query)[None, :], K), ids_of)


def in_blocks(product, queries: np.ndarray, count: int, dtype, block: int = 128):
    """Top-k by `product(queries, out)` over blocks of queries, so that the scores stay small."""
    scores = np.empty((min(block, len(queries)), count), dtype)

    def run():
        found = []
        for start in range(0, len(queries), block):
            part = queries[start : start + block]
            out = scores[: len(part)]
            product(part, out)
            found.append(top_k(out, K))
        return np.concatenate(found)

    return run


def spread(threads: int, one, queries: np.ndarray):
    """Runs `one(queries)` on equal shares of the queries in threads; the libraries release the GIL."""
    shares = np.array_split(queries, threads)
    if threads == 1:
        return one(queries)
    runs = [one(share) for share in shares]
    pool = ThreadPoolExecutor(threads)
    return lambda: np.concatenate(list(pool.map(lambda run: run(), runs)))


@peer("w2/128 w2/768", "numpy", "numpy")
def numpy_many(inputs: Inputs, threads: int) -> Prepared:
    rows, queries = inputs.array("rows"), inputs.array("queries")
    product = lambda part, out: np.matmul(part, rows.T, out=out)  # noqa: E731
    return Prepared(in_blocks(product, queries, len(rows), np.float32), ids_of)


@peer("w2/128 w2/768", "mkl:sgemm + numpy top-k", "mkl")
def mkl_many(inputs: Inputs, threads: int) -> Prepared:
    rows, queries = inputs.array("rows"), inputs.array("queries")
    product = lambda part, out: intel.mkl_sgemm(part, rows, out)  # noqa: E731
    return Prepared(in_blocks(product, queries, len(rows), np.float32), ids_of, intel.mkl_isa())


@peer("w2/128 w2/768", "onednn:sgemm + numpy top-k", "onednn")
def onednn_many(inputs: Inputs, threads: int) -> Prepared:
    rows, queries = inputs.array("rows"), inputs.array("queries")
    product = lambda part, out: intel.onednn_sgemm(part, rows, out)  # noqa: E731
    return Prepared(in_blocks(product, queries, len(rows), np.float32), ids_of, intel.onednn_isa())


@peer("w1 w2/128 w2/768", "faiss:IndexFlatIP", "faiss-cpu")
def faiss_flat(inputs: Inputs, threads: int) -> Prepared:
    import faiss

    # From 20 queries on FAISS takes its BLAS path by itself; at 1,000 queries that is the faster one.
    faiss.omp_set_num_threads(threads)
    rows, queries = inputs.array("rows"), inputs.array("queries")
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return Prepared(lambda: index.search(queries, K), lambda result: ids_of(result[1]), faiss_isa())


@peer("w1 w2/128 w2/768", "usearch:exact", "usearch")
def usearch_exact(inputs: Inputs, threads: int) -> Prepared:
    from usearch.index import search

    rows, queries = inputs.array("rows"), inputs.array("queries")
    return Prepared(
        lambda: search(rows, queries, K, "ip", exact=True, threads=threads), lambda found: ids_of(found.keys)
    )


@peer("w1", "numkong:cdist + numpy top-k", "numkong")
def numkong_one(inputs: Inputs, threads: int) -> Prepared:
    import numkong as nk

    rows, queries = inputs.array("rows"), inputs.array("queries")
    run = lambda: top_k(np.asarray(nk.cdist(queries, rows, metric="dot", threads=threads)), K)  # noqa: E731
    return Prepared(run, ids_of, numkong_isa())


def numkong_packed(rows: np.ndarray, dtype, threads: int, queries: np.ndarray):
    import numkong as nk

    packed = nk.dots_pack(rows)

    def one(share):
        def product(part, out):
            nk.dots_packed(part, packed, out=nk.from_dlpack(out))

        return in_blocks(product, share, len(rows), dtype)

    return spread(threads, one, queries)


@peer("w2/128 w2/768", "numkong:packed f32 + numpy top-k", "numkong")
def numkong_many(inputs: Inputs, threads: int) -> Prepared:
    run = numkong_packed(inputs.array("rows"), np.float64, threads, inputs.array("queries"))
    return Prepared(run, ids_of, numkong_isa())


@peer("w2i/128 w2i/768", "mkl:gemm_s8u8s32 + numpy top-k", "mkl")
def mkl_bytes(inputs: Inputs, threads: int) -> Prepared:
    rows, queries = inputs.array("rows"), inputs.array("queries")
    shifted = (queries.astype(np.int16) + 128).astype(np.uint8)
    product = lambda part, out: intel.mkl_gemm_s8(rows, part, out)  # noqa: E731
    return Prepared(in_blocks(product, shifted, len(rows), np.int32), ids_of, intel.mkl_isa())


@peer("w2i/128 w2i/768", "onednn:gemm_s8s8s32 + numpy top-k", "onednn")
def onednn_bytes(inputs: Inputs, threads: int) -> Prepared:
    rows, queries = inputs.array("rows"), inputs.array("queries")
    product = lambda part, out: intel.onednn_gemm_s8(part, rows, out)  # noqa: E731
    return Prepared(in_blocks(product, queries, len(rows), np.int32), ids_of, intel.onednn_isa())


@peer("w2i/128 w2i/768", "numkong:packed i8 + numpy top-k", "numkong")
def numkong_bytes(inputs: Inputs, threads: int) -> Prepared:
    run = numkong_packed(inputs.array("rows"), np.int32, threads, inputs.array("queries"))
    return Prepared(run, ids_of, numkong_isa())


@peer("w2i/128 w2i/768", "usearch:exact i8", "usearch")
def usearch_bytes(inputs: Inputs, threads: int) -> Prepared:
    return usearch_exact(inputs, threads)


@peer("w2i/128 w2i/768", "faiss:SQ8 direct signed", "faiss-cpu")
def faiss_bytes(inputs: Inputs, threads: int) -> Prepared:
    import faiss

    faiss.omp_set_num_threads(threads)
    rows, queries = inputs.array("rows"), inputs.array("queries").astype(np.float32)
    kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
    index = faiss.IndexScalarQuantizer(rows.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:256].astype(np.float32))
    index.add(rows.astype(np.float32))
    return Prepared(lambda: index.search(queries, K), lambda result: ids_of(result[1]), faiss_isa())
