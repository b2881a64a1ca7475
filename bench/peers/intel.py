"""MKL and oneDNN through their C interfaces: the matrix products of bytes and the sparse products
that no Python package exposes."""

import ctypes
import functools
import glob
import sys

import numpy as np

ROW_MAJOR, COLUMN_MAJOR = 101, 102
PLAIN, TRANSPOSED = 111, 112
UPPER, FIXED_OFFSET = 121, 173


def _load(pattern: str) -> ctypes.CDLL:
    found = sorted(glob.glob(f"{sys.prefix}/lib/{pattern}"))
    if not found:
        raise ImportError(f"{pattern} is not in {sys.prefix}/lib")
    return ctypes.CDLL(found[0], mode=ctypes.RTLD_GLOBAL)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


@functools.cache
def mkl() -> ctypes.CDLL:
    """libmkl_rt with Intel's OpenMP."""
    _load("libiomp5.so")
    library = _load("libmkl_rt.so*")
    library.MKL_Set_Threading_Layer(0)
    return library


def mkl_isa() -> str:
    """The instruction set that MKL says it uses."""
    text = ctypes.create_string_buffer(400)
    mkl().mkl_get_version_string(text, 400)
    _, _, after = text.value.decode().partition(" for ")
    return after.strip() or "not told"


def mkl_gemm_s8(rows: np.ndarray, queries: np.ndarray, out: np.ndarray) -> None:
    """out[q, r] = queries[q] · rows[r] of signed bytes; MKL's product is signed × unsigned, so the
    queries come shifted by 128 and the shift is given as their offset."""
    n, d = rows.shape
    q, _ = queries.shape
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    offset = (ctypes.c_int32 * 1)(0)
    mkl().cblas_gemm_s8u8s32(
        COLUMN_MAJOR, TRANSPOSED, PLAIN, FIXED_OFFSET, n, q, d, one,
        pointer(rows), d, ctypes.c_int8(0), pointer(queries), d, ctypes.c_int8(-128),
        zero, pointer(out), n, offset,
    )  # fmt: skip


def mkl_ssyrk(rows: np.ndarray, out: np.ndarray) -> None:
    """The upper triangle of rows · rowsᵀ."""
    n, d = rows.shape
    mkl().cblas_ssyrk(
        ROW_MAJOR, UPPER, PLAIN, n, d, ctypes.c_float(1), pointer(rows), d, ctypes.c_float(0), pointer(out), n
    )


def mkl_sgemm(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """left · rightᵀ."""
    (m, d), (n, _) = left.shape, right.shape
    mkl().cblas_sgemm(
        ROW_MAJOR, PLAIN, TRANSPOSED, m, n, d, ctypes.c_float(1), pointer(left), d, pointer(right), d,
        ctypes.c_float(0), pointer(out), n,
    )  # fmt: skip


class MklCsr:
    """A sparse matrix that MKL reads in place."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.handle = ctypes.c_void_p()
        indptr = matrix.indptr
        status = mkl().mkl_sparse_s_create_csr(
            ctypes.byref(self.handle), 0, *matrix.shape, pointer(indptr), pointer(indptr[1:]),
            pointer(matrix.indices), pointer(matrix.data),
        )  # fmt: skip
        check(status)

    def gram(self, out: np.ndarray) -> None:
        """The upper triangle of A · Aᵀ, dense."""
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        n = self.matrix.shape[0]
        check(mkl().mkl_sparse_s_syrkd(10, self.handle, one, zero, pointer(out), ROW_MAJOR, n))

    def times(self, other: "MklCsr", out: np.ndarray) -> None:
        """A · B, dense."""
        n = out.shape[1]
        check(mkl().mkl_sparse_s_spmmd(10, self.handle, other.handle, ROW_MAJOR, pointer(out), n))


def check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"MKL refuses with status {status}")


@functools.cache
def onednn() -> ctypes.CDLL:
    """libdnnl; its SYCL runtime has to be on the library path."""
    return _load("libdnnl.so")


def onednn_isa() -> str:
    """The instruction set that oneDNN says it uses."""
    names = {0x27: "avx512", 0x67: "avx512-vnni", 0xEF: "avx512-bf16", 0x1EF: "avx512-fp16", 0xFEF: "amx"}
    code = onednn().dnnl_get_effective_cpu_isa()
    return names.get(code, hex(code))


def onednn_sgemm(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """left · rightᵀ."""
    (m, d), (n, _) = left.shape, right.shape
    size, real, char = ctypes.c_int64, ctypes.c_float, ctypes.c_char
    check(
        onednn().dnnl_sgemm(
            char(b"N"), char(b"T"), size(m), size(n), size(d), real(1), pointer(left), size(d), pointer(right),
            size(d), real(0), pointer(out), size(n),
        )
    )  # fmt: skip


def onednn_gemm_s8(queries: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """queries · rowsᵀ of signed bytes, i32."""
    (m, d), (n, _) = queries.shape, rows.shape
    size, real, char, byte = ctypes.c_int64, ctypes.c_float, ctypes.c_char, ctypes.c_int8
    offset = (ctypes.c_int32 * 1)(0)
    check(
        onednn().dnnl_gemm_s8s8s32(
            char(b"N"), char(b"T"), char(b"F"), size(m), size(n), size(d), real(1), pointer(queries), size(d),
            byte(0), pointer(rows), size(d), byte(0), real(0), pointer(out), size(n), offset,
        )
    )  # fmt: skip
