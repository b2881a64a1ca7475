"""w3: classes of all pairs of dense rows, f32 or signed bytes.

The answer is one byte a pair i < j: 0 below the first limit, 1 below the second, else 2, by the
size of the cosine. f32 rows come with unit length. Products are taken in blocks of rows over the
triangle, because classing a block while it is in cache is faster than a whole matrix at once.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import intel
from isa import numkong_isa
from registry import Inputs, Prepared, peer

BLOCK = 256


class Classes:
    """Turns products into classes; `inverse` holds the inverse norms where rows are not of unit length."""

    def __init__(self, inputs: Inputs, count: int, inverse: np.ndarray | None = None):
        self.low, self.high = inputs.array("limits")
        self.sampled = inputs.array("sampled")
        self.inverse = inverse
        self.out = np.zeros((count, count), np.uint8)
        self.size = np.empty(BLOCK * count, np.float32)
        self.mask = np.empty(BLOCK * count, np.bool_)

    def block(self, start: int, products: np.ndarray) -> None:
        """Classes of the rows from `start` on against all columns from `start` on."""
        size = self.size[: products.size].reshape(products.shape)
        mask = self.mask[: products.size].reshape(products.shape)
        out = self.out[start : start + len(products), start:]
        if self.inverse is None:
            np.abs(products, out=size, casting="same_kind")
        else:
            np.multiply(products, self.inverse[start:], out=size, dtype=np.float32, casting="unsafe")
            size *= self.inverse[start : start + len(products), None]
            np.abs(size, out=size)
        np.greater_equal(size, self.low, out=out.view(np.bool_))
        np.greater_equal(size, self.high, out=mask)
        out += mask.view(np.uint8)

    def answer(self, _) -> np.ndarray:
        return np.triu(self.out, 1)[self.sampled]


def in_blocks(classes: Classes, product, dtype) -> Prepared:
    """`product(rows, columns, out)` takes two slices and fills `out` with the products between them."""
    count = len(classes.out)
    buffer = np.empty(BLOCK * count, dtype)

    def run():
        for start in range(0, count, BLOCK):
            shape = (min(BLOCK, count - start), count - start)
            out = buffer[: shape[0] * shape[1]].reshape(shape)
            product(slice(start, start + shape[0]), slice(start, count), out)
            classes.block(start, out)

    return Prepared(run, classes.answer)


@peer("w3/128 w3/768", "numpy:matmul", "numpy")
def numpy_gram(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    product = lambda some, all_, out: np.matmul(rows[some], rows[all_].T, out=out)  # noqa: E731
    return in_blocks(Classes(inputs, len(rows)), product, np.float32)


@peer("w3/128 w3/768", "mkl:sgemm", "mkl")
def mkl_gram(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    product = lambda some, all_, out: intel.mkl_sgemm(rows[some], rows[all_], out)  # noqa: E731
    return in_blocks(Classes(inputs, len(rows)), product, np.float32).on(intel.mkl_isa())


@peer("w3/128 w3/768", "mkl:ssyrk", "mkl")
def mkl_triangle(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    classes = Classes(inputs, len(rows))
    gram = np.empty((len(rows), len(rows)), np.float32)

    def run():
        intel.mkl_ssyrk(rows, gram)
        for start in range(0, len(rows), BLOCK):
            classes.block(start, gram[start : start + BLOCK, start:])

    return Prepared(run, classes.answer, intel.mkl_isa())


@peer("w3/128 w3/768", "onednn:sgemm", "onednn")
def onednn_gram(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    product = lambda some, all_, out: intel.onednn_sgemm(rows[some], rows[all_], out)  # noqa: E731
    return in_blocks(Classes(inputs, len(rows)), product, np.float32).on(intel.onednn_isa())


def numkong_triangle(rows: np.ndarray, classes: Classes, dtype, threads: int) -> Prepared:
    """NumKong's symmetric product, rows split so that each thread gets an equal area."""
    import numkong as nk

    count = len(rows)
    gram = np.empty((count, count), dtype)
    tensor = nk.from_dlpack(gram)
    edges = [round(count * (1 - math.sqrt(1 - part / threads))) for part in range(threads + 1)]
    pool = ThreadPoolExecutor(threads)

    def part(index: int) -> None:
        nk.dots_symmetric(rows, out=tensor, start_row=edges[index], end_row=edges[index + 1])

    def run():
        list(pool.map(part, range(threads)))
        for start in range(0, count, BLOCK):
            classes.block(start, gram[start : start + BLOCK, start:])

    return Prepared(run, classes.answer, numkong_isa())


@peer("w3/128 w3/768", "numkong:symmetric f32", "numkong")
def numkong_gram(inputs: Inputs, threads: int) -> Prepared:
    rows = inputs.array("rows")
    return numkong_triangle(rows, Classes(inputs, len(rows)), np.float64, threads)


def bytes_and_classes(inputs: Inputs) -> tuple[np.ndarray, Classes]:
    rows = inputs.array("rows")
    inverse = 1 / np.sqrt((rows.astype(np.float64) ** 2).sum(1))
    return rows, Classes(inputs, len(rows), inverse.astype(np.float32))


@peer("w3i/128 w3i/768", "numkong:symmetric i8", "numkong")
def numkong_bytes(inputs: Inputs, threads: int) -> Prepared:
    rows, classes = bytes_and_classes(inputs)
    return numkong_triangle(rows, classes, np.int32, threads)


@peer("w3i/128 w3i/768", "onednn:gemm_s8s8s32", "onednn")
def onednn_bytes(inputs: Inputs, threads: int) -> Prepared:
    rows, classes = bytes_and_classes(inputs)
    product = lambda some, all_, out: intel.onednn_gemm_s8(rows[some], rows[all_], out)  # noqa: E731
    return in_blocks(classes, product, np.int32).on(intel.onednn_isa())


@peer("w3i/128 w3i/768", "mkl:gemm_s8u8s32", "mkl")
def mkl_bytes(inputs: Inputs, threads: int) -> Prepared:
    rows, classes = bytes_and_classes(inputs)
    shifted = (rows.astype(np.int16) + 128).astype(np.uint8)
    product = lambda some, all_, out: intel.mkl_gemm_s8(rows[all_], shifted[some], out)  # noqa: E731
    return in_blocks(classes, product, np.int32).on(intel.mkl_isa())
