"""PM110: weights downloaded while the image is built."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.model_loads import DOWNLOADERS, is_pretrained
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode, text_of

_COMMAND = re.compile(
    r"(?:huggingface-cli|\bhf)\s+download|git\s+(?:lfs\s+)?clone\s+\S*huggingface\.co"
    r"|(?:wget|curl)\s[^&;|]*\.(?:safetensors|ckpt|pth|pt|bin|gguf|onnx|h5)\b"
    r"|from_pretrained\(|snapshot_download\(|hf_hub_download\("
)


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find downloads of weights among the build steps of images."""
    for node in script.all(ast.Call):
        if not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "run_function" and node.args:
            name = ast.unparse(node.args[0])
            called = script.scope_at(node).function(node.args[0])
            if called is not None and not _has_volume(node) and _downloads(called, script, 0):
                yield _finding(script, node.args[0], f"{name} downloads weights while the image is built")
        elif node.func.attr in ("run_commands", "dockerfile_commands"):
            for each in node.args:
                for part in each.elts if isinstance(each, ast.List | ast.Tuple) else [each]:
                    text = text_of(part, script.scope_at(node)) or _start(part)
                    if text and _COMMAND.search(text):
                        yield _finding(script, part, "a build step of the image downloads weights")


def _has_volume(call: ast.Call) -> bool:
    return any(each.arg in ("volumes", "network_file_systems") for each in call.keywords)


def _downloads(function: FunctionNode, script: Script, depth: int) -> bool:
    for node, scope in script.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if scope.dotted(node.func) in DOWNLOADERS or is_pretrained(node, scope):
            return True
        inner = scope.function(node.func)
        if inner is not None and inner is not function and depth < 3 and _downloads(inner, script, depth + 1):
            return True
    return False


def _start(part: ast.expr) -> str | None:
    """Return the constant text of an f-string."""
    if isinstance(part, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "_" for each in part.values)
    return None


def _finding(script: Script, node: ast.expr, what: str) -> Finding:
    return script.find(
        "PM110",
        node,
        f"{what}: builds have strict time limits, fail for large models, and download again after every earlier change",
        "download at run time into a mounted Volume (HF_HOME on a modal.Volume): later runs find the weights there",
    )


RULE = Rule(
    code="PM110",
    level="warning",
    title="Weights are downloaded while the image is built",
    why="""
A build that downloads a model runs into the build's time limit, makes the image as large as the model, and starts
again whenever an earlier step changes.
""",
    instead="""
Download when the function runs, into a Volume that is mounted where the library caches (`HF_HOME`): the first run
downloads, later ones find the weights there.
""",
    bad="""
import modal

def download():
    from huggingface_hub import snapshot_download

    snapshot_download("gpt2")

image = modal.Image.debian_slim().pip_install("transformers", "torch").run_function(download)
app = modal.App("evaluation", image=image)
""",
    good="""
import modal

cache = modal.Volume.from_name("huggingface-cache", create_if_missing=True)
image = modal.Image.debian_slim().pip_install("transformers", "torch").env({"HF_HOME": "/cache"})
app = modal.App("evaluation", image=image)

@app.function(gpu="T4", volumes={"/cache": cache})
def evaluate(problems):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained("gpt2").config.n_layer
""",
    check=check,
    about_script=True,
)
