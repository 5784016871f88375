"""Distributions: what they are called, what they bring along, and which are used without being imported.

The tables err to one side: a package that may be there, or may be used, counts as there and as used.
"""

from __future__ import annotations

import re
import sys

from pytest_modal.remote.installed import canonical


def _words(text: str) -> set[str]:
    return set(text.split())


# Import name to distributions that provide it, where the names differ or several do.
IMPORTED_AS = {
    "PIL": ("pillow", "pillow-simd"),
    "sklearn": ("scikit-learn",),
    "skimage": ("scikit-image",),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "yaml": ("pyyaml",),
    "bs4": ("beautifulsoup4",),
    "dotenv": ("python-dotenv",),
    "dateutil": ("python-dateutil",),
    "faiss": ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12"),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "google.protobuf": ("protobuf",),
    "jwt": ("pyjwt",),
    "magic": ("python-magic",),
    "soundfile": ("soundfile",),
    "serial": ("pyserial",),
    "whisper": ("openai-whisper",),
    "umap": ("umap-learn",),
    "Bio": ("biopython",),
    "rdkit": ("rdkit", "rdkit-pypi"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-gpu"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "pytorch_lightning": ("pytorch-lightning",),
    "lm_eval": ("lm-eval",),
    "flash_attn": ("flash-attn",),
    "sentence_transformers": ("sentence-transformers",),
    "huggingface_hub": ("huggingface-hub",),
    "stable_baselines3": ("stable-baselines3",),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "jax": ("jax",),
    "pynvml": ("nvidia-ml-py", "pynvml"),
    "tree_sitter": ("tree-sitter",),
    "liger_kernel": ("liger-kernel", "liger-kernel-nightly"),
    "transformer_engine": ("transformer-engine",),
    "trl": ("trl",),
}

# Distributions whose name is their import name, among those that research code uses.
PLAIN = _words(
    """
    accelerate aiohttp albumentations altair anthropic bitsandbytes bokeh boto3 catboost chromadb dask datasets
    deepspeed diffusers duckdb einops evaluate fastapi fastparquet flask flax gensim gradio h5py httpx imageio
    ipywidgets jinja2 joblib jsonlines keras langchain librosa lightgbm lightning lxml matplotlib mlflow moviepy
    networkx nltk numba numpy ollama onnx openai openpyxl optax optuna orjson packaging pandas peft plotly
    polars psutil pyarrow pydantic pydub pytest requests rich sacrebleu safetensors scikit_learn scipy seaborn
    sentencepiece shap spacy sqlalchemy statsmodels streamlit sympy tabulate tenacity tensorboard tiktoken timm
    tokenizers torch torchaudio torchmetrics torchvision tqdm transformers triton typer uvicorn vllm wandb
    xarray xformers xgboost zarr einx jaxtyping pyro gpytorch botorch ray sglang websockets
    """
)

# Distribution to what comes with it, and to what it can use when it is there.
_HUB = "huggingface-hub requests tqdm pyyaml filelock fsspec packaging typing-extensions httpx"
_TORCH = "filelock fsspec jinja2 networkx sympy typing-extensions triton numpy mpmath markupsafe setuptools"
BRINGS = {
    "torch": _TORCH,
    "torchvision": f"torch {_TORCH} pillow",
    "torchaudio": f"torch {_TORCH}",
    "transformers": f"{_HUB} numpy regex tokenizers safetensors",
    "tokenizers": _HUB,
    "huggingface-hub": _HUB,
    "accelerate": f"torch {_TORCH} {_HUB} psutil safetensors",
    "peft": f"torch {_TORCH} transformers accelerate {_HUB} psutil safetensors tokenizers regex",
    "trl": f"torch {_TORCH} transformers accelerate datasets {_HUB} psutil safetensors tokenizers regex pandas pyarrow "
    "dill multiprocess xxhash aiohttp rich",
    "datasets": f"{_HUB} numpy pandas pyarrow dill multiprocess xxhash aiohttp python-dateutil pytz six",
    "evaluate": f"datasets {_HUB} numpy pandas pyarrow dill multiprocess xxhash aiohttp",
    "sentence-transformers": f"torch {_TORCH} transformers {_HUB} scikit-learn scipy pillow joblib threadpoolctl "
    "tokenizers safetensors regex",
    "diffusers": f"{_HUB} importlib-metadata numpy pillow regex safetensors",
    "timm": f"torch torchvision {_TORCH} {_HUB} pillow safetensors",
    "vllm": f"torch torchvision torchaudio {_TORCH} transformers {_HUB} tokenizers sentencepiece psutil ray fastapi "
    "uvicorn openai pydantic pillow tiktoken outlines lark prometheus-client aiohttp msgspec pyzmq xformers einops "
    "safetensors regex cloudpickle numba scipy starlette anyio opencv-python-headless sniffio blake3 cachetools gguf",
    "sglang": f"torch torchvision {_TORCH} transformers {_HUB} fastapi uvicorn openai pydantic pillow aiohttp psutil "
    "requests orjson ipython einops numba scipy starlette anyio",
    "openai-whisper": f"torch {_TORCH} numba tqdm more-itertools tiktoken",
    "lightning": f"torch {_TORCH} torchmetrics pytorch-lightning lightning-utilities tqdm pyyaml fsspec",
    "pytorch-lightning": f"torch {_TORCH} torchmetrics lightning-utilities tqdm pyyaml fsspec",
    "torchmetrics": f"torch {_TORCH} lightning-utilities",
    "xformers": f"torch {_TORCH}",
    "flash-attn": f"torch {_TORCH} einops",
    "bitsandbytes": f"torch {_TORCH}",
    "deepspeed": f"torch {_TORCH} einops hjson msgpack ninja psutil py-cpuinfo pydantic tqdm",
    "liger-kernel": f"torch {_TORCH}",
    "triton": "filelock setuptools",
    "pandas": "numpy python-dateutil pytz tzdata six",
    "polars": "",
    "scipy": "numpy",
    "scikit-learn": "numpy scipy joblib threadpoolctl",
    "matplotlib": "numpy pillow contourpy cycler fonttools kiwisolver packaging pyparsing python-dateutil six",
    "seaborn": "numpy pandas matplotlib pillow python-dateutil pytz six packaging contourpy cycler",
    "statsmodels": "numpy scipy pandas patsy packaging python-dateutil pytz six",
    "plotly": "packaging narwhals",
    "xgboost": "numpy scipy",
    "lightgbm": "numpy scipy",
    "numba": "numpy llvmlite",
    "h5py": "numpy",
    "librosa": "numpy scipy scikit-learn joblib numba llvmlite soundfile audioread decorator pooch soxr",
    "soundfile": "numpy cffi",
    "opencv-python": "numpy",
    "opencv-python-headless": "numpy",
    "scikit-image": "numpy scipy pillow networkx imageio tifffile packaging",
    "imageio": "numpy pillow",
    "jax": "jaxlib numpy scipy ml-dtypes opt-einsum",
    "flax": "jax jaxlib numpy scipy optax msgpack orbax-checkpoint rich pyyaml typing-extensions",
    "optax": "jax jaxlib numpy absl-py chex",
    "tensorflow": "numpy keras h5py protobuf absl-py requests six wrapt tensorboard packaging typing-extensions rich",
    "keras": "numpy h5py absl-py rich optree ml-dtypes packaging",
    "spacy": "numpy pydantic jinja2 tqdm requests typer packaging thinc",
    "nltk": "click joblib regex tqdm",
    "requests": "certifi charset-normalizer idna urllib3",
    "httpx": "certifi idna anyio sniffio httpcore h11",
    "aiohttp": "attrs multidict yarl frozenlist aiosignal",
    "openai": "httpx pydantic anyio tqdm typing-extensions sniffio distro jiter certifi idna",
    "anthropic": "httpx pydantic anyio typing-extensions sniffio distro jiter certifi idna",
    "tiktoken": "regex requests certifi urllib3",
    "wandb": "click gitpython platformdirs protobuf psutil pyyaml requests sentry-sdk setproctitle setuptools pydantic",
    "fastapi": "pydantic starlette typing-extensions anyio httpx uvicorn jinja2 python-multipart email-validator",
    "pydantic": "annotated-types pydantic-core typing-extensions",
    "gradio": f"fastapi uvicorn pydantic numpy pandas pillow httpx {_HUB} jinja2 orjson typer starlette anyio aiofiles",
    "tqdm": "",
    "numpy": "",
    "pillow": "",
    "sympy": "mpmath",
    "networkx": "",
    "einops": "",
    "safetensors": "",
    "sentencepiece": "",
    "rich": "markdown-it-py pygments",
    "psutil": "",
    "pyyaml": "",
    "packaging": "",
    "joblib": "",
    "tabulate": "",
    "regex": "",
    "ninja": "",
    "wheel": "",
    "setuptools": "",
    "hf-transfer": "",
    "hf-xet": "",
    "protobuf": "",
    "pyarrow": "numpy",
    "boto3": "botocore jmespath s3transfer python-dateutil urllib3 six",
    "duckdb": "",
    "tenacity": "",
    "orjson": "",
    "jsonlines": "attrs",
    "python-dotenv": "",
    "beautifulsoup4": "soupsieve typing-extensions",
    "uvicorn": "click h11",
    "pytest": "packaging pluggy iniconfig pygments",
}

# What takes minutes to install, in the order of the layers: most of the others need the first.
HEAVY = (
    {"torch"},
    _words(
        """
        accelerate bitsandbytes datasets deepspeed diffusers flash-attn jax jaxlib lightning pytorch-lightning sglang
        sentence-transformers tensorflow torchaudio torchvision transformers trl vllm xformers
        """
    ),
)

# Modal's own runtime, which older image builders install beside the user's packages.
RUNTIME = _words(
    """
    modal modal_proto aiohttp aiostream asgiref attr attrs certifi click cloudpickle dateutil fastapi
    fastprogress google grpclib h2 hpack httpx idna importlib_metadata IPython markdown_it multidict
    pkg_resources protobuf pydantic pygments pytz rich sentry_sdk setuptools sigtools six starlette
    synchronicity toml typeguard typer typing_extensions watchfiles yarl pip wheel
    """
)

# Those that people put into images for what they are used for, and that a script imports by itself or not at all.
# Only these are ever called unneeded: plugins, back ends, kernels and servers work without being imported.
MUST_BE_IMPORTED = _words(
    """
    altair beautifulsoup4 bokeh duckdb evaluate gensim h5py ipywidgets jupyter librosa lightgbm matplotlib
    mlflow moviepy networkx nltk openpyxl optuna pandas plotly polars pytest rouge-score sacrebleu scikit-image
    scikit-learn seaborn shap spacy statsmodels streamlit sympy umap-learn xgboost
    """
)
# Packages that reach for others when these are there: what they may use counts as used.
MAY_USE = {
    "transformers": "scipy scikit-learn librosa nltk beautifulsoup4 evaluate",
    "datasets": "pandas librosa h5py nltk scikit-learn",
    "evaluate": "scikit-learn nltk rouge-score sacrebleu pandas scipy",
    "pandas": "matplotlib openpyxl scipy h5py beautifulsoup4 plotly",
    "polars": "pandas openpyxl altair",
    "sentence-transformers": "nltk pandas",
    "scikit-learn": "pandas matplotlib",
    "torch": "networkx sympy pytest",
    "torchmetrics": "matplotlib nltk scipy scikit-learn rouge-score sacrebleu",
    "shap": "pandas matplotlib scikit-learn",
    "optuna": "plotly matplotlib scikit-learn pandas",
    "mlflow": "pandas matplotlib scikit-learn shap",
    "wandb": "pandas matplotlib plotly moviepy",
    "lightning": "pandas matplotlib",
    "ultralytics": "pandas matplotlib seaborn scikit-image",
    "imageio": "moviepy",
    "gradio": "pandas matplotlib altair plotly",
    "ray": "pandas",
    "xgboost": "pandas scikit-learn matplotlib",
    "lightgbm": "pandas scikit-learn matplotlib",
    "triton": "pandas matplotlib pytest",
    "networkx": "matplotlib pandas",
    "keras": "pandas matplotlib",
    "tensorflow": "pandas matplotlib",
    "anndata": "pandas h5py",
    "scanpy": "pandas matplotlib seaborn h5py umap-learn statsmodels networkx",
}
_KNOWN = {name for names in IMPORTED_AS.values() for name in names} | {name.replace("_", "-") for name in PLAIN}
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def distribution_of(requirement: str) -> str | None:
    """Return the distribution that a requirement names, or None if only its metadata names it."""
    text = requirement.strip()
    if " @ " in text or "@git+" in text:
        text = text.partition("@")[0]
    elif text.endswith(".whl"):
        text = text.rpartition("/")[2].partition("-")[0]
    elif "://" in text or text.startswith((".", "/", "-", "git+")):
        return None
    match = _NAME.match(text)
    return canonical(match[1]) if match else None


def providers(module: str) -> tuple[str, ...]:
    """Return the distributions that provide a top-level module, or an empty tuple where that isn't known."""
    if module in IMPORTED_AS:
        return IMPORTED_AS[module]
    return (canonical(module),) if module in PLAIN else ()


def is_well_known(distribution: str) -> bool:
    """Whether the tables have a distribution, by its normal name."""
    return distribution in BRINGS or distribution in _KNOWN


def brought_by(distributions: set[str]) -> set[str]:
    """Return the distributions with all that comes with them."""
    found, queue = set(distributions), list(distributions)
    while queue:
        for each in BRINGS.get(queue.pop(), "").split():
            if each not in found:
                found.add(each)
                queue.append(each)
    return found


def is_standard(module: str) -> bool:
    """Whether a module is Python's own."""
    return module in sys.stdlib_module_names or module in ("__future__", "__main__", "distutils", "imp")
