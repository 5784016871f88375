"""Companions: distributions that others import only when they need them, so that no import here names them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pytest_modal.remote.installed import canonical

# Classes of transformers that compute with torch: those of other libraries begin otherwise.
_TORCH_CLASS = (
    r"(?!TF[A-Z]|Flax)\w+(?:Model|LMHeadModel|For[A-Z]\w+|Pipeline)|AutoModel\w*|pipeline|Trainer\w*|Seq2SeqTrainer"
)
_QUANTIZED = "load_in_8bit|load_in_4bit|BitsAndBytesConfig|quantization_config"
_IMAGES = r"\w*ImageProcessor\w*|AutoProcessor|image-\w+|images?"


@dataclass(frozen=True)
class Companion:
    """A row of the table.

    Attributes
    ----------
    of : str
        The distributions that import it when they need it.
    takes : str
        The distributions that come along.
    because : str
        The reason, for people.
    named : str
        A pattern of the words that say so: names, attributes, keywords and strings in the code. Without one, none is
        needed.
    here : bool
        Whether they come along only where they are installed here: the code does without them, or fails here too.
    """

    of: str
    takes: str
    because: str
    named: str = ""
    here: bool = False


COMPANIONS = (
    Companion("transformers diffusers", "torch", "its models compute with torch", _TORCH_CLASS),
    Companion("transformers diffusers", "torch", "its tokenizers return tensors", here=True),
    Companion("diffusers", "transformers accelerate", "its pipelines load text encoders", r"\w+Pipeline"),
    Companion("transformers", "safetensors", "it reads the weights, which are pinned with it", here=True),
    Companion("transformers diffusers", "accelerate", "it places the weights", "device_map|low_cpu_mem_usage"),
    Companion("transformers", "accelerate", "the Trainer runs on it", r"\w*Trainer|\w*TrainingArguments"),
    Companion("transformers diffusers", "accelerate bitsandbytes", "it quantizes the weights", _QUANTIZED),
    Companion("transformers", "sentencepiece tiktoken", "some tokenizers are stored in their formats", here=True),
    Companion("sentencepiece", "protobuf", "its models are messages", here=True),
    Companion("transformers", "einops timm", "code from the hub imports it", "trust_remote_code", True),
    Companion("transformers", "pillow timm", "images are read by it", _IMAGES, True),
    Companion("transformers", "peft", "it loads adapters", r"\w*adapters?\w*|Peft\w+|Lora\w+", True),
    Companion("pandas", "pyarrow", "it reads and writes columns", r"(?:read|to)_(?:parquet|feather|orc)"),
    Companion("pandas", "openpyxl", "it reads and writes sheets", "read_excel|to_excel"),
    Companion("torch", "numpy", "tensors leave as arrays"),
    Companion("torch", "tensorboard", "it writes the summaries", "SummaryWriter"),
)
# Variants of what is installed here that work in a container, and why.
VARIANTS = {
    "opencv-python": ("opencv-python-headless", "a container has no screen"),
    "opencv-contrib-python": ("opencv-contrib-python-headless", "a container has no screen"),
    "psycopg2": ("psycopg2-binary", "a container has no libpq"),
}
_PATTERNS = [re.compile(row.named) for row in COMPANIONS if row.named]


def words_that_count(code: ast.AST) -> frozenset[str]:
    """Return the words of code that the table asks for."""
    return frozenset(word for word in set(_words(code)) if any(pattern.fullmatch(word) for pattern in _PATTERNS))


def _words(code: ast.AST) -> Iterator[str]:
    for node in ast.walk(code):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def with_companions(
    distributions: Iterable[str], words: Iterable[str], is_installed: Callable[[str], bool]
) -> dict[str, str]:
    """Return the distributions that come along with some, and the reasons.

    Parameters
    ----------
    distributions : iterable of str
        Normal names of what is imported.
    words : iterable of str
        What `words_that_count` found in the code.
    is_installed : callable
        Whether a distribution is installed on this machine.
    """
    said, known, found = list(words), set(distributions), dict[str, str]()
    before = -1
    while before != len(found):
        before = len(found)
        for row in COMPANIONS:
            if known.isdisjoint(row.of.split()) or not _is_named(row, said):
                continue
            for name in map(canonical, row.takes.split()):
                if name not in known and (not row.here or is_installed(name)):
                    known.add(name)
                    found[name] = row.because
    return found


def _is_named(row: Companion, words: Iterable[str]) -> bool:
    return not row.named or any(re.fullmatch(row.named, word) for word in words)
