"""Calls that load or download models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_modal.checks.script.tree import FunctionNode, Scope, argument, text_of

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
# What else takes long wherever it runs.
_FETCHERS = {
    "datasets.load_dataset",
    "urllib.request.urlretrieve",
    "gdown.download",
    "wget.download",
    "nltk.download",
    "keras.utils.get_file",
    "tensorflow.keras.utils.get_file",
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


def fetched_by(statement: ast.stmt, scope: Scope) -> str | None:
    """Return the call in a statement that loads a model or downloads, local functions that it calls included."""
    for node in _run_by(statement):
        if isinstance(node, ast.Call):
            if (name := _fetches(node, scope)) is not None:
                return name
            own = scope.function(node.func)
            for inner, around in scope.tree.walk(own) if own is not None else ():
                if isinstance(inner, ast.Call) and (name := _fetches(inner, around)) is not None:
                    return name
    return None


def _fetches(call: ast.Call, scope: Scope) -> str | None:
    name = scope.dotted(call.func) or ""
    if name in DOWNLOADERS or name in LOADERS or name in _FETCHERS or is_pretrained(call, scope):
        return ast.unparse(call.func)
    return None


def _run_by(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes that run when a statement does: not the bodies of functions."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, FunctionNode | ast.Lambda):
            stack += reversed(list(ast.iter_child_nodes(node)))
