"""The process of one python engine: answers the requests of bench/protocol.ts, one JSON line each, on the socket that Node
names in NODE_CHANNEL_FD. The clock runs in here, around the engine's own calls and nothing else, as in bench/child.ts.
"""
import gc
import json
import math
import os
import socket
import time
import traceback
from importlib import metadata

import numpy as np

WARM_SHARE = 0.1
CHURN_BATCH = 100


class Hnswlib:
    package = "hnswlib"

    def __init__(self, m):
        self.m = m

    def load(self):
        import hnswlib

        self.library = hnswlib

    def fill(self, rows, ip, seed, threads, room):
        self.index = self.library.Index("ip" if ip else "l2", rows.shape[1])
        self.index.init_index(len(rows) + room, ef_construction=200, M=self.m, random_seed=seed)
        self.index.add_items(rows, np.arange(len(rows)), num_threads=threads)
        self.index.set_num_threads(1)

    def configure(self, setting):
        self.index.set_ef(setting["ef"])

    def search(self, queries, k):
        return self.index.knn_query(queries, k=k, num_threads=1)[0]

    def insert(self, numbers, rows):
        self.index.add_items(rows, numbers, num_threads=1)

    def remove(self, numbers):
        for number in numbers:
            self.index.mark_deleted(number)


class Faiss:
    """`recipe(n, dim)` gives the index_factory string; the last knobs are those of the wrapped index."""

    package = "faiss-cpu"

    def __init__(self, recipe, can_remove=False):
        self.recipe = recipe
        if can_remove:
            self.remove = self.remove_rows

    def load(self):
        import faiss

        self.library = faiss

    def fill(self, rows, ip, seed, threads, room):
        faiss = self.library
        faiss.omp_set_num_threads(threads)
        # Unit vectors have the same order by L2, which every faiss index supports.
        self.index = faiss.index_factory(rows.shape[1], self.recipe(*rows.shape))
        self.inner = faiss.downcast_index(getattr(self.index, "base_index", self.index))
        if hasattr(self.inner, "hnsw"):
            self.inner.hnsw.efConstruction = 200
        self.index.train(rows)
        self.index.add(rows)
        faiss.omp_set_num_threads(1)

    def configure(self, setting):
        if "ef" in setting:
            self.inner.hnsw.efSearch = setting["ef"]
        if "nprobe" in setting:
            self.inner.nprobe = setting["nprobe"]
        if "k_factor" in setting:
            self.index.k_factor = setting["k_factor"]

    def search(self, queries, k):
        return self.index.search(queries, k)[1]

    def insert(self, numbers, rows):
        self.index.add(rows)

    def remove_rows(self, numbers):
        self.index.remove_ids(np.asarray(numbers, dtype=np.int64))


class Scann:
    package = "scann"

    def load(self):
        import scann

        self.library = scann

    def fill(self, rows, ip, seed, threads, room):
        self.rows = rows  # its reordering reads them
        builder = self.library.scann_ops_pybind.builder(rows, 10, "dot_product" if ip else "squared_l2")
        builder.set_n_training_threads(threads)
        builder = builder.tree(num_leaves=round(math.sqrt(len(rows))), num_leaves_to_search=16,
                               training_sample_size=min(len(rows), 250_000))
        quantizer = {"anisotropic_quantization_threshold": 0.2} if ip else {}
        self.index = builder.score_ah(2, **quantizer).reorder(100).build()

    def configure(self, setting):
        self.leaves = setting["leaves"]
        self.reorder = setting["reorder"]

    def search(self, queries, k):
        if len(queries) == 1:
            found, _ = self.index.search(queries[0], final_num_neighbors=k,
                                         pre_reorder_num_neighbors=self.reorder, leaves_to_search=self.leaves)
            return found[None]
        return self.index.search_batched(queries, final_num_neighbors=k,
                                         pre_reorder_num_neighbors=self.reorder, leaves_to_search=self.leaves)[0]


class Svs:
    package = "scalable-vs"

    def load(self):
        import svs

        self.library = svs

    def fill(self, rows, ip, seed, threads, room):
        svs = self.library
        parameters = svs.VamanaBuildParameters(alpha=1.2, graph_max_degree=32, window_size=200)
        self.index = svs.Vamana.build(parameters, rows, svs.DistanceType.L2, num_threads=threads)
        self.index.num_threads = 1

    def configure(self, setting):
        self.index.search_window_size = setting["window"]

    def search(self, queries, k):
        return self.index.search(queries, k)[0]


class NgtQg:
    package = "ngt"

    def load(self):
        import ngtpy  # noqa: F401

        raise ImportError("the python wheel of NGT opens quantized graphs and cannot build them")


def lists(rows):
    """A power of two near 4 sqrt(n), as faiss recommends, with enough rows each to train on."""
    return 2 ** max(2, min(round(math.log2(4 * math.sqrt(rows))), int(math.log2(rows / 39))))


ENGINES = {
    "py-hnswlib-16": lambda: Hnswlib(16),
    "py-hnswlib-32": lambda: Hnswlib(32),
    "py-faiss-hnsw": lambda: Faiss(lambda n, dim: "HNSW32"),
    "py-faiss-ivf-sq8": lambda: Faiss(lambda n, dim: f"IVF{lists(n)},SQ8", can_remove=True),
    "py-faiss-ivf-pqfs": lambda: Faiss(lambda n, dim: f"IVF{lists(n)},PQ{dim // 2}x4fs,RFlat"),
    "py-faiss-ivf-rabitq": lambda: Faiss(lambda n, dim: f"IVF{lists(n)},RaBitQfs,RFlat"),
    "py-scann": Scann,
    "py-svs": Svs,
    "py-ngt-qg": NgtQg,
}


class Process:
    def load(self, request):
        self.engine = ENGINES[request["engine"]]()
        try:
            self.engine.load()
        except ImportError as error:
            return {"missing": f"{error}"}
        return {"version": f"{self.engine.package} {metadata.version(self.engine.package)}"}

    def fill(self, request):
        self.base = os.path.join(request["data"], "base.npy")
        self.queries = np.load(os.path.join(request["data"], "query.npy"))
        self.each = [self.queries[i : i + 1] for i in range(len(self.queries))]
        before = resident_bytes()
        rows = np.load(self.base)
        start = time.perf_counter()
        self.engine.fill(rows, request["metric"] == "ip", request["seed"], request["threads"], request["room"])
        seconds = time.perf_counter() - start
        del rows
        gc.collect()
        return {"buildSeconds": seconds, "memoryBytes": resident_bytes() - before}

    def answer(self, request):
        self.engine.configure(request["setting"])
        k, budget = request["k"], request["budgetMs"] / 1000
        answers = []
        start = time.perf_counter()
        for query in self.each[: request["queries"]]:
            answers.append(self.engine.search(query, k)[0])
            if time.perf_counter() - start > budget:
                break
        seconds = time.perf_counter() - start
        # Places that were not filled are -1.
        return {"answers": [[int(row) for row in found if row >= 0] for found in answers], "seconds": seconds}

    def time(self, request):
        k = request["k"]
        self.warm(request)
        search, clock = self.engine.search, time.perf_counter
        each = self.each[: request["queries"]]
        times = np.empty(len(each) + 1)
        times[0] = clock()
        for i, query in enumerate(each):
            search(query, k)
            times[i + 1] = clock()
        p50, p99 = np.quantile(np.diff(times) * 1e6, [0.5, 0.99], method="nearest")
        return {"seconds": times[-1] - times[0], "p50Us": p50, "p99Us": p99}

    def timeAll(self, request):
        self.warm(request)
        queries = self.queries[: request["queries"]]
        start = time.perf_counter()
        self.engine.search(queries, request["k"])
        return {"seconds": time.perf_counter() - start}

    def warm(self, request):
        self.engine.configure(request["setting"])
        for query in self.each[: math.ceil(request["queries"] * WARM_SHARE)]:
            self.engine.search(query, request["k"])

    def churn(self, request):
        base = np.load(self.base, mmap_mode="r")
        count, budget = request["rows"], request["budgetMs"] / 1000
        stride = len(base) // count
        old = np.arange(count) * stride
        rates = {}
        if hasattr(self.engine, "remove"):
            others = old + stride // 2
            rate(count, budget, lambda a, b: self.engine.remove(others[a:b]))
            rates["removesPerSecond"] = rate(count, budget, lambda a, b: self.engine.remove(old[a:b]))
        if hasattr(self.engine, "insert"):
            rows = np.ascontiguousarray(base[old])
            numbers = len(base) + np.arange(count)
            rates["insertsPerSecond"] = rate(count, budget, lambda a, b: self.engine.insert(numbers[a:b], rows[a:b]))
        return rates


def rate(rows, budget, step):
    start = time.perf_counter()
    done = 0
    while done < rows and time.perf_counter() - start < budget:
        end = min(rows, done + CHURN_BATCH)
        step(done, end)
        done = end
    return done / (time.perf_counter() - start)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
    channel.setblocking(True)
    process = Process()
    for line in channel.makefile("rb"):
        request = json.loads(line)
        if request["do"] == "end":
            channel.sendall(b"{}\n")
            break
        try:
            reply = getattr(process, request["do"])(request)
        except Exception:
            reply = {"error": traceback.format_exc()}
        channel.sendall(json.dumps(reply, default=float).encode() + b"\n")


main()
