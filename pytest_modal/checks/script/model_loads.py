"""Calls that load or download models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_modal.checks.script.tree import Scope, argument, text_of

# Small files beside the weights, loaded in an instant.
_LIGHT = ("Tokenizer", "TokenizerFast", "Config", "Processor", "FeatureExtractor", "Scheduler", "GenerationConfig")
LOADERS = {
    "sentence_transformers.SentenceTransformer": 0,
    "sentence_transformers.CrossEncoder": 0,
    "vllm.LLM": 0,
    "whisper.load_model": 0,
    "timm.create_model": 0,
    "spacy.load": 0,
    "torch.hub.load": 1,
    "transformers.pipeline": 1,
}
DOWNLOADERS = {
    "huggingface_hub.snapshot_download",
    "huggingface_hub.hf_hub_download",
    "whisper.load_model",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.hub.download_url_to_file",
    "sentence_transformers.SentenceTransformer",
    "transformers.pipeline",
    "timm.create_model",
    "nemo.collections.asr.models.ASRModel.from_pretrained",
}


@dataclass(frozen=True)
class ModelLoad:
    """A call that loads weights; `model` names them, where that is written out."""

    node: ast.Call
    scope: Scope
    model: str | None


def loads(nodes: Iterator[tuple[ast.AST, Scope]]) -> Iterator[ModelLoad]:
    """Yield the calls that load the weights of a model."""
    for node, scope in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = scope.dotted(node.func) or ""
        if name in LOADERS:
            index = LOADERS[name]
            yield ModelLoad(node, scope, text_of(argument(node, index, "model"), scope))
        elif is_pretrained(node, scope):
            yield ModelLoad(node, scope, text_of(argument(node, 0, "pretrained_model_name_or_path"), scope))


def is_pretrained(call: ast.Call, scope: Scope) -> bool:
    """Whether a call is ``SomeModel.from_pretrained(...)`` of something heavy."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "from_pretrained":
        return False
    owner, name = call.func.value, ""
    if isinstance(owner, ast.Attribute):
        name = owner.attr
    elif isinstance(owner, ast.Name):
        name = owner.id
    full = (scope.dotted(owner) or name).rpartition(".")[2]
    return not full.endswith(_LIGHT) and not name.endswith(_LIGHT) and bool(name)
