"""Processes that a function starts."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "pools, spawned processes and pickle",
        {
            "main.py": """
                import multiprocessing as mp
                from concurrent.futures import ProcessPoolExecutor
                import pickle

                BASE = 3

                def words(t):
                    return len(t.split()) + BASE

                def worker(rank, n):
                    assert rank < n

                def f():
                    with mp.get_context("fork").Pool(2) as p:
                        return p.map(words, ["a b", "c"])

                def f2():
                    with ProcessPoolExecutor(2, mp_context=mp.get_context("spawn")) as e:
                        return list(e.map(words, ["a b", "c"]))

                def f3():
                    import torch.multiprocessing as tmp

                    tmp.spawn(worker, args=(2,), nprocs=2, join=True)
                    return "joined"

                def f4():
                    return pickle.loads(pickle.dumps(words))("a")
                """,
        },
        functions=("main:f", "main:f2", "main:f3", "main:f4"),
        needs=("torch",),
    ),
]
