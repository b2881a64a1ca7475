"""W7: rows of f32 to signed bytes with one scale a row, and back."""

import numpy as np

from isa import faiss_isa
from registry import Inputs, Prepared, peer


@peer("W7/quantise", "numpy", "numpy")
def numpy_quantise(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    codes, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)

    def run():
        for at in range(0, len(rows), 256):
            part = rows[at : at + 256]
            scale = np.maximum(part.max(1), -part.min(1)) / np.float32(127)
            scales[at : at + 256] = scale
            codes[at : at + 256] = np.rint(part / scale[:, None])
        return codes, scales

    return Prepared(run, lambda result: np.concatenate([result[0][::97].reshape(-1).astype(np.float64), result[1]]))


@peer("W7/dequantise", "numpy", "numpy")
def numpy_dequantise(inputs: Inputs, threads: int) -> Prepared:
    codes, scales = inputs.array("codes"), inputs.array("scales")
    out = np.empty(codes.shape, np.float32)

    def run():
        np.multiply(codes, scales[:, None], out=out)
        return out

    return Prepared(run, lambda result: result[::97])


@peer("W7/quantise", "faiss:SQ8 uniform", "faiss-cpu")
def faiss_quantise(inputs: Inputs, threads: int) -> Prepared:
    import faiss

    faiss.omp_set_num_threads(threads)
    rows = inputs.array("rows")
    index = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_8bit)
    index.train(rows[:10_000])
    return Prepared(lambda: index.sa_encode(rows), lambda result: np.empty(0), faiss_isa())


@peer("W7/dequantise", "faiss:SQ8 uniform", "faiss-cpu")
def faiss_dequantise(inputs: Inputs, threads: int) -> Prepared:
    import faiss

    faiss.omp_set_num_threads(threads)
    rows = inputs.array("rows")
    index = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_8bit)
    index.train(rows[:10_000])
    codes = index.sa_encode(rows)
    return Prepared(lambda: index.sa_decode(codes), lambda result: np.empty(0), faiss_isa())
