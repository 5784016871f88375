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
    Construct(
        "a group of spawned processes that reduce a tensor",
        {
            "main.py": """
                import socket
                import torch.multiprocessing as mp
                from distributed.ranks import worker

                def own_worker(rank, world, port, out):
                    from distributed.ranks import worker as imported

                    imported(rank, world, port, out)

                def spawned(function, world):
                    with socket.socket() as s:
                        s.bind(("127.0.0.1", 0))
                        port = s.getsockname()[1]
                    with mp.Manager() as manager:
                        out = manager.dict()
                        mp.spawn(function, args=(world, port, out), nprocs=world)
                        return sorted(out.items())

                def f():
                    return spawned(own_worker, 2)

                def f2():
                    return spawned(worker, 2)
                """,
            "distributed/__init__.py": "",
            "distributed/ranks.py": """
                def worker(rank, world, port, out):
                    import os
                    import torch
                    import torch.distributed as dist

                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    dist.init_process_group("gloo", rank=rank, world_size=world)
                    t = torch.tensor([float(rank + 1)])
                    dist.all_reduce(t)
                    out[rank] = t.item()
                    dist.destroy_process_group()
                """,
        },
        functions=("main:f", "main:f2"),
        needs=("torch",),
    ),
]
