"""w5: k-means++ and 20 rounds of Lloyd; w6: the nearest of 256 centroids."""

import numpy as np

from isa import faiss_isa, numkong_isa
from registry import Inputs, Prepared, peer

ROUNDS = 20


def faiss_kmeans(inputs: Inputs, threads: int, init) -> Prepared:
    import faiss

    faiss.omp_set_num_threads(threads)
    rows, k = inputs.array("rows"), int(inputs.array("k")[0])

    def run():
        model = faiss.Clustering(rows.shape[1], k)
        model.niter, model.seed, model.max_points_per_centroid = ROUNDS, 1, len(rows)
        model.init_method = init(faiss)
        model.train(rows, faiss.IndexFlatL2(rows.shape[1]))
        return faiss.vector_to_array(model.centroids).reshape(k, -1)

    return Prepared(run, np.asarray, faiss_isa())


@peer("w5", "faiss:k-means++", "faiss-cpu")
def faiss_plus_plus(inputs: Inputs, threads: int) -> Prepared:
    return faiss_kmeans(inputs, threads, lambda faiss: faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS)


@peer("w5", "faiss:random start", "faiss-cpu")
def faiss_random(inputs: Inputs, threads: int) -> Prepared:
    return faiss_kmeans(inputs, threads, lambda faiss: faiss.ClusteringInitMethod_RANDOM)


def estimator(model_of, inputs: Inputs) -> Prepared:
    rows, k = inputs.array("rows"), int(inputs.array("k")[0])
    make = lambda: model_of(k, init="k-means++", n_init=1, max_iter=ROUNDS, tol=0, random_state=1)  # noqa: E731
    return Prepared(lambda: make().fit(rows).cluster_centers_, np.asarray)


@peer("w5", "scikit-learn", "scikit-learn")
def sklearn_kmeans(inputs: Inputs, threads: int) -> Prepared:
    from sklearn.cluster import KMeans

    return estimator(KMeans, inputs)


@peer("w5", "scikit-learn-intelex", "scikit-learn-intelex")
def intelex_kmeans(inputs: Inputs, threads: int) -> Prepared:
    import daal4py
    from sklearnex.cluster import KMeans

    daal4py.daalinit(threads)
    return estimator(KMeans, inputs)


def assigned(result) -> np.ndarray:
    return np.asarray(result).reshape(-1)


@peer("w6", "faiss:IndexFlatL2", "faiss-cpu")
def faiss_assign(inputs: Inputs, threads: int) -> Prepared:
    import faiss

    faiss.omp_set_num_threads(threads)
    rows, centroids = inputs.array("rows"), inputs.array("centroids")
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(centroids)
    return Prepared(lambda: index.search(rows, 1), lambda result: assigned(result[1]), faiss_isa())


@peer("w6", "numpy", "numpy")
def numpy_assign(inputs: Inputs, threads: int) -> Prepared:
    rows, centroids = inputs.array("rows"), inputs.array("centroids")
    doubled, norms = 2 * centroids.T, (centroids * centroids).sum(1)

    def run():
        parts = [np.argmax(rows[at : at + 512] @ doubled - norms, axis=1) for at in range(0, len(rows), 512)]
        return np.concatenate(parts)

    return Prepared(run, assigned)


@peer("w6", "scipy:vq", "scipy")
def scipy_assign(inputs: Inputs, threads: int) -> Prepared:
    from scipy.cluster.vq import vq

    rows, centroids = inputs.array("rows"), inputs.array("centroids")
    return Prepared(lambda: vq(rows, centroids, check_finite=False), lambda result: assigned(result[0]))


@peer("w6", "scikit-learn:pairwise_distances_argmin", "scikit-learn")
def sklearn_assign(inputs: Inputs, threads: int) -> Prepared:
    from sklearn.metrics import pairwise_distances_argmin

    rows, centroids = inputs.array("rows"), inputs.array("centroids")
    return Prepared(lambda: pairwise_distances_argmin(rows, centroids), assigned)


@peer("w6", "numkong:packed bf16 + numpy argmax", "numkong")
def numkong_assign(inputs: Inputs, threads: int) -> Prepared:
    import numkong as nk
    from concurrent.futures import ThreadPoolExecutor

    rows, centroids = inputs.array("rows"), inputs.array("centroids")
    narrow = nk.astype(nk.from_dlpack(rows), "bfloat16")
    packed = nk.dots_pack(nk.astype(nk.from_dlpack(centroids), "bfloat16"))
    half_norms = (centroids * centroids).sum(1) / 2
    scores = np.empty((len(rows), len(centroids)), np.float32)
    tensor = nk.from_dlpack(scores)
    pool = ThreadPoolExecutor(threads)
    step = 1_024

    def part(at: int) -> np.ndarray:
        end = min(at + step, len(rows))
        nk.dots_packed(narrow, packed, out=tensor, start_row=at, end_row=end)
        return np.argmax(scores[at:end] - half_norms, axis=1)

    return Prepared(lambda: np.concatenate(list(pool.map(part, range(0, len(rows), step)))), assigned, numkong_isa())
