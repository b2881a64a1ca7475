"""w4a and w4b: cosine and Jaccard of all pairs of sparse rows; w8: one pair.

The rows come with unit length for the cosine, so every peer is spared the scaling. The answer that
is checked is the upper triangle of the sampled rows.
"""

import numpy as np

import intel
from isa import numkong_isa
from registry import Inputs, Prepared, peer

COSINE = "w4a/cosine w4b/cosine"
JACCARD = "w4a/jaccard w4b/jaccard"


def sampled_dense(inputs: Inputs):
    sampled = inputs.array("sampled")
    return lambda result: result[sampled]


def sampled_sparse(inputs: Inputs):
    sampled = inputs.array("sampled")
    return lambda result: result[sampled].toarray()


@peer(COSINE, "scipy", "scipy")
def scipy_cosine(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.csr()
    turned = rows.T.tocsr()
    return Prepared(lambda: rows @ turned, sampled_sparse(inputs))


@peer(COSINE, "scikit-learn:cosine_similarity", "scikit-learn")
def sklearn_cosine(inputs: Inputs, threads: int) -> Prepared:
    from sklearn.metrics.pairwise import cosine_similarity

    rows = inputs.csr()
    return Prepared(lambda: cosine_similarity(rows, dense_output=False), sampled_sparse(inputs))


@peer(COSINE, "mkl:sparse_syrkd", "mkl")
def mkl_syrkd(inputs: Inputs, threads: int) -> Prepared:
    rows = intel.MklCsr(inputs.csr())
    count = rows.matrix.shape[0]
    out = np.zeros((count, count), np.float32)

    def run():
        rows.gram(out)
        return out

    return Prepared(run, sampled_dense(inputs), intel.mkl_isa())


@peer(COSINE, "mkl:sparse_spmmd", "mkl")
def mkl_spmmd(inputs: Inputs, threads: int) -> Prepared:
    matrix = inputs.csr()
    rows, turned = intel.MklCsr(matrix), intel.MklCsr(matrix.T.tocsr())
    count = matrix.shape[0]
    out = np.zeros((count, count), np.float32)

    def run():
        rows.times(turned, out)
        return out

    return Prepared(run, sampled_dense(inputs), intel.mkl_isa())


@peer(COSINE, "sparse-dot-topn:all", "sparse-dot-topn")
def topn_cosine(inputs: Inputs, threads: int) -> Prepared:
    from sparse_dot_topn import sp_matmul

    rows = inputs.csr()
    turned = rows.T.tocsr()
    return Prepared(lambda: sp_matmul(rows, turned, n_threads=threads), sampled_sparse(inputs))


@peer("w4a/cosine", "mkl:densify + ssyrk", "mkl")
def mkl_densify(inputs: Inputs, threads: int) -> Prepared:
    matrix = inputs.csr()
    count = matrix.shape[0]
    full, out = np.zeros(matrix.shape, np.float32), np.empty((count, count), np.float32)

    def run():
        matrix.toarray(out=full)
        intel.mkl_ssyrk(full, out)
        full[:] = 0
        return out

    return Prepared(run, sampled_dense(inputs), intel.mkl_isa())


@peer(JACCARD, "scipy", "scipy")
def scipy_jaccard(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.csr()
    rows.data = np.ones(len(rows.data), np.float32)
    turned, sizes = rows.T.tocsr(), np.diff(rows.indptr).astype(np.float32)

    def run():
        shared = rows @ turned
        at = np.repeat(np.arange(len(sizes)), np.diff(shared.indptr))
        shared.data /= sizes[at] + sizes[shared.indices] - shared.data
        return shared

    return Prepared(run, sampled_sparse(inputs))


@peer(JACCARD, "mkl:sparse_syrkd", "mkl")
def mkl_jaccard(inputs: Inputs, threads: int) -> Prepared:
    matrix = inputs.csr()
    matrix.data = np.ones(len(matrix.data), np.float32)
    rows, sizes = intel.MklCsr(matrix), np.diff(matrix.indptr).astype(np.float32)
    count = len(sizes)
    out = np.zeros((count, count), np.float32)

    def run():
        rows.gram(out)
        for start in range(0, count, 64):
            part = out[start : start + 64, start:]
            part /= sizes[start : start + 64, None] + sizes[start:] - part
        return out

    return Prepared(run, sampled_dense(inputs), intel.mkl_isa())


@peer("w4a/jaccard", "numkong:bits symmetric", "numkong")
def numkong_bits(inputs: Inputs, threads: int) -> Prepared:
    import math
    from concurrent.futures import ThreadPoolExecutor

    import numkong as nk

    matrix = inputs.csr()
    matrix.data = np.ones(len(matrix.data), np.float32)
    bits = np.packbits(matrix.toarray().astype(np.uint8), axis=1)
    count = len(bits)
    out = np.empty((count, count), np.float32)
    tensor = nk.from_dlpack(out)
    edges = [round(count * (1 - math.sqrt(1 - part / threads))) for part in range(threads + 1)]
    pool = ThreadPoolExecutor(threads)

    def part(index: int) -> None:
        nk.jaccards_symmetric(bits, dtype="uint1", out=tensor, start_row=edges[index], end_row=edges[index + 1])

    def run():
        list(pool.map(part, range(threads)))
        return out

    return Prepared(run, lambda result: sampled_dense(inputs)(1 - result), numkong_isa())


@peer("w8", "numkong", "numkong")
def numkong_pair(inputs: Inputs, threads: int) -> Prepared:
    import numkong as nk

    rows = inputs.csr()
    parts = []
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:]):
        indices = np.ascontiguousarray(rows.indices[start:end].astype(np.uint32))
        values = np.ascontiguousarray(rows.data[start:end])
        parts.append((indices, values))

    def run():
        scores = []
        for (i, v), (j, w) in zip(parts[0::2], parts[1::2]):
            shared = nk.intersect(i, j)
            scores.append((nk.sparse_dot(i, v, j, w), shared / (len(i) + len(j) - shared)))
        return scores

    return Prepared(run, lambda result: np.array(result), numkong_isa())
