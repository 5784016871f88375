"""Results of other libraries' types that become data: tensors, the outputs of models, dataclasses."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from pytest_modal.remote.not_data import RefusedError, type_name


def fields_of(value: Any, notes: list[str]) -> dict[str, Any] | None:
    """Return a dataclass, or the output of one of transformers' models, as a dict; None for anything else.

    A cache in the output of a model is for its next step on the GPU: it is left out, and `notes` takes that.
    """
    if _is_from_transformers(value, "ModelOutput"):
        fields = dict(value)
        caches = [name for name, field in fields.items() if _is_from_transformers(field, "Cache")]
        notes += [f"{name} was left out: a {type(fields[name]).__name__} is not data" for name in caches]
        return {name: field for name, field in fields.items() if name not in caches}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _is_from_transformers(value: object, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith("transformers.") for base in type(value).__mro__)


def tensor_to_array(tensor: Any) -> Any:
    """Return a tensor of torch as an array.

    Raises
    ------
    RefusedError
        It has no array form.
    """
    torch, name = importlib.import_module("torch"), type_name(type(tensor))
    for obstacle, form, remedy in (
        (tensor.is_nested, "of nested form", "return list({}.unbind())"),
        (tensor.layout is not torch.strided, f"of layout {tensor.layout}", "return {}.to_dense()"),
        (tensor.is_quantized, "of quantized form", "return {}.dequantize()"),
        (tensor.is_meta, "on meta", "it has no values: materialize it first"),
    ):
        if obstacle:
            raise RefusedError(f"{name} {form}", remedy)
    tensor = tensor.detach().cpu()  # a CUDA fault is raised here, as itself
    try:
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            tensor = tensor.float()
        return tensor.resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise RefusedError(f"{name} of {tensor.dtype}", f"it has no array form ({reason})") from None
