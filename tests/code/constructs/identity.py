"""What finds a function or a class by its module: compilers, pickle, processes, type hints."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "a module and another one",
        {
            "main.py": """
                from __future__ import annotations
                import copy, dataclasses, inspect, multiprocessing, pickle, sys, typing, concurrent.futures
                from typing import Optional
                import torch
                import torch.nn.functional as F
                from other import plain, with_global, with_module_global, Layer

                SCALE = 3.0

                def near(x):
                    return x * SCALE

                class Near(torch.nn.Module):
                    def forward(self, x):
                        return F.relu(x)

                class Both(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.a, self.b = Near(), Layer()

                    def forward(self, x):
                        return self.b(self.a(x))

                @dataclasses.dataclass
                class Cfg:
                    name: Optional[str] = None
                    n: int = 1

                def sq(x):
                    return x * x

                def comp(f, full=True):
                    return torch.compile(f, backend="eager", fullgraph=full)

                X = torch.ones(2)

                def c_plain_other_file():
                    return comp(lambda x: plain(x))(torch.ones(2))

                def c_near():
                    return comp(lambda x: near(x))(torch.ones(2))

                def c_other_constant():
                    return comp(lambda x: with_global(x))(torch.ones(2))

                def c_other_module():
                    return comp(lambda x: with_module_global(x))(torch.ones(2))

                def c_class_same_file():
                    return comp(Near())(torch.ones(2))

                def c_class_other_file_root():
                    return comp(Layer())(torch.ones(2))

                def c_class_two_files():
                    return comp(Both())(torch.ones(2))

                def c_no_fullgraph():
                    return comp(lambda x: with_module_global(x), full=False)(torch.ones(2))

                def c_export():
                    return torch.export.export(Both(), (torch.ones(2),)).module()(torch.ones(2))

                def c_fx():
                    return torch.fx.symbolic_trace(Both())(torch.ones(2))

                def c_jit_trace():
                    return torch.jit.trace(Both(), torch.ones(2))(torch.ones(2))

                def c_vmap():
                    return torch.vmap(with_global)(torch.ones(2))

                def c_checkpoint():
                    from torch.utils.checkpoint import checkpoint

                    return checkpoint(with_global, torch.ones(2, requires_grad=True), use_reentrant=False)

                def m_pickle_function():
                    return len(pickle.dumps(sq))

                def m_pickle_instance():
                    return len(pickle.dumps(Cfg()))

                def m_torch_save():
                    import io

                    b = io.BytesIO()
                    torch.save(Near(), b)
                    return b.tell() > 0

                def m_deepcopy():
                    return copy.deepcopy(Cfg()).n

                def m_pool_fork():
                    with multiprocessing.get_context("fork").Pool(1) as p:
                        return p.map(sq, [2])

                def m_executor():
                    with concurrent.futures.ProcessPoolExecutor(
                        1, mp_context=multiprocessing.get_context("fork")
                    ) as p:
                        return list(p.map(sq, [2]))

                def m_threads():
                    with concurrent.futures.ThreadPoolExecutor(1) as p:
                        return list(p.map(sq, [2]))

                def m_process_fork():
                    q = multiprocessing.get_context("fork").SimpleQueue()
                    p = multiprocessing.get_context("fork").Process(target=lambda: q.put(sq(2)))
                    p.start()
                    p.join()
                    return q.get()

                def _work(rank, n):
                    assert rank < n

                def m_torch_spawn():
                    torch.multiprocessing.spawn(_work, args=(1,), nprocs=1)
                    return 1

                def m_dataloader():
                    class D(torch.utils.data.Dataset):
                        def __len__(self):
                            return 2

                        def __getitem__(self, i):
                            return sq(i)

                    return [int(x) for b in torch.utils.data.DataLoader(D(), num_workers=1) for x in b]

                def m_joblib():
                    return 0

                def s_modules():
                    return sys.modules[__name__].sq(2)

                def s_getmodule():
                    return inspect.getmodule(sq) is not None

                def s_hints_class():
                    return sorted(typing.get_type_hints(Cfg))

                def s_hf_parser():
                    from transformers import HfArgumentParser

                    return HfArgumentParser(Cfg).parse_args_into_dataclasses(args=["--name", "x"])[0].name

                def s_pydantic():
                    import pydantic

                    return pydantic.TypeAdapter(Cfg).validate_python({"name": "x"}).name

                def s_importlib():
                    import importlib

                    return importlib.import_module(__name__).sq(2)

                def s_globals():
                    return globals()["sq"](2)
                """,
            "other.py": """
                import torch
                import torch.nn.functional as F

                SCALE = 2.0

                def plain(x):
                    return x + 1

                def with_global(x):
                    return x * SCALE

                def with_module_global(x):
                    return F.relu(x)

                class Layer(torch.nn.Module):
                    def forward(self, x):
                        return F.relu(x)
                """,
        },
        functions=("main:c_*", "main:m_*", "main:s_*"),
        needs=("torch", "pydantic", "transformers"),
    ),
]
