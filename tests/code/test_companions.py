"""What comes along with packages that import more when they need it."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from pytest_modal.code.companions import COMPANIONS, VARIANTS, with_companions, words_that_count
from pytest_modal.code.distributions import providers
from pytest_modal.code.requirements import derive
from pytest_modal.code.shipping import Shipper
from pytest_modal.remote.installed import canonical

NOTHING: AbstractSet[str] = frozenset()
MODEL = "from transformers import AutoModelForCausalLM\nAutoModelForCausalLM.from_pretrained('m', {})"
TOKENIZER = "from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('m', {})"


def along(of: str, code: str, installed: AbstractSet[str] = NOTHING) -> set[str]:
    return set(with_companions([of], words_that_count(ast.parse(code)), installed.__contains__))


TORCH = {"torch", "numpy"}


@pytest.mark.parametrize(
    ("of", "code", "expected"),
    [
        ("transformers", MODEL.format(""), TORCH),
        ("transformers", "import transformers\ntransformers.GPT2LMHeadModel(config)", TORCH),
        ("transformers", "from transformers import BertModel", TORCH),
        ("transformers", "from transformers import ViTForImageClassification as Net", TORCH),
        ("transformers", "from transformers import pipeline\npipeline('text-generation')", TORCH),
        ("transformers", "from transformers import TFAutoModel, FlaxBertForMaskedLM, AutoConfig", set()),
        ("transformers", TOKENIZER.format(""), set()),
        ("transformers", MODEL.format("device_map='auto'"), {"accelerate", *TORCH}),
        ("transformers", MODEL.format("**{'device_map': 'auto'}"), {"accelerate", *TORCH}),
        ("transformers", MODEL.format("load_in_8bit=True"), {"accelerate", "bitsandbytes", *TORCH}),
        (
            "transformers",
            MODEL.format("quantization_config=BitsAndBytesConfig()"),
            {"accelerate", "bitsandbytes", *TORCH},
        ),
        ("transformers", "from transformers import Trainer, TrainingArguments", {"accelerate", *TORCH}),
        ("diffusers", "from diffusers import StableDiffusionPipeline", {"transformers", "accelerate", *TORCH}),
        ("pandas", "import pandas as pd\npd.read_parquet('x')", {"pyarrow"}),
        ("pandas", "frame.to_parquet(buffer)", {"pyarrow"}),
        ("pandas", "pd.read_excel('x')", {"openpyxl"}),
        ("pandas", "pd.read_csv('x')", set()),
        ("torch", "from torch.utils.tensorboard import SummaryWriter", {"numpy", "tensorboard"}),
        ("requests", MODEL.format("device_map='auto'"), set()),
    ],
)
def test_what_the_code_names_comes_along(of: str, code: str, expected: set[str]) -> None:
    assert along(of, code) == expected


@pytest.mark.parametrize(
    ("code", "installed", "expected"),
    [
        (TOKENIZER.format(""), {"torch"}, {"torch", "numpy"}),
        (TOKENIZER.format(""), {"safetensors"}, {"safetensors"}),
        (TOKENIZER.format(""), {"protobuf"}, set()),
        (TOKENIZER.format(""), {"sentencepiece", "protobuf"}, {"sentencepiece", "protobuf"}),
        (TOKENIZER.format(""), {"tiktoken"}, {"tiktoken"}),
        (TOKENIZER.format(""), {"einops", "peft", "pillow", "timm", "accelerate", "bitsandbytes"}, set()),
        (TOKENIZER.format("trust_remote_code=True"), {"einops"}, {"einops"}),
        (TOKENIZER.format("trust_remote_code=True"), set(), set()),
        ("from transformers import AutoImageProcessor", {"pillow", "timm"}, {"pillow", "timm"}),
        ("model.load_adapter('x')", {"peft"}, {"peft"}),
    ],
)
def test_what_is_installed_here_comes_along(code: str, installed: set[str], expected: set[str]) -> None:
    assert along("transformers", code, installed) == expected


def test_each_row_names_what_exists_and_has_a_reason() -> None:
    for row in COMPANIONS:
        assert row.because
        for name in [*row.of.split(), *row.takes.split()]:
            assert name == canonical(name)
            assert any(name in providers(module) for module in (name, name.replace("-", "_"), "PIL", "google.protobuf"))
    assert all(before != after for before, (after, _) in VARIANTS.items())


def test_the_code_that_is_reached_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loads_models.py").write_text(
        "def load(name):\n    from transformers import AutoModel\n"
        "    return AutoModel.from_pretrained(name, device_map=0)\n"
        "def unused():\n    import pandas\n    return pandas.read_excel('x')\n"
    )
    (tmp_path / "asks_models.py").write_text("from loads_models import load\ndef body(): return load('m')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import asks_models  # type: ignore[import-not-found]

    shipped = Shipper(tmp_path).ship(asks_models.body, "body", ())
    assert shipped.words == {"AutoModel", "device_map"}
    found = derive(shipped.imports, (), shipped.words)
    pinned = [
        f"{name}=={importlib.metadata.version(name).partition('+')[0]}"
        for name in ("numpy", "safetensors", "torch", "transformers")
    ]
    assert found.packages == ("accelerate", *pinned)
    assert found.notes == ("accelerate is not installed on this machine, so its version is not pinned",)
