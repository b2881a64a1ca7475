"""Exact top-k of score matrices with NumPy alone, the fastest way found.

One pass takes the maximum of every group of 32 columns; the k best columns of a row lie in the
k groups with the best maxima, so only those are sorted.
"""

import numpy as np

GROUP = 32


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k greatest scores of every row, greatest first."""
    rows, columns = scores.shape
    groups = columns // GROUP
    body = scores[:, : groups * GROUP].reshape(rows, GROUP, groups)
    best = body.max(axis=1)
    chosen = np.argpartition(best, groups - k, axis=1)[:, groups - k :]
    candidates = (chosen[:, :, None] + np.arange(GROUP) * groups).reshape(rows, k * GROUP)
    tail = np.broadcast_to(np.arange(groups * GROUP, columns), (rows, columns - groups * GROUP))
    candidates = np.concatenate([candidates, tail], axis=1)
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-values.astype(np.float64), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, axis=1)
