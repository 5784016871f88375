"""Isolation of local worker processes: what of this machine they have, and what not, because a container has not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.environment import Environment
from pytest_modal.code.image_contents import contents_of, directories_outside, modules_outside, packages_of_project
from pytest_modal.declare.settings import LocalOptions
from pytest_modal.remote.framing import Limits
from pytest_modal.remote.scratch import CACHES

# Environment variables that a worker inherits: those that a machine needs, and that say nothing of the project.
INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ"),
    *("LANG", "LANGUAGE", "LC_*", "PYTHONUTF8", "PYTHONIOENCODING"),
    # Where the interpreter and its packages are, and whether it writes bytecode.
    *("PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE", "PYTHONBREAKPOINT"),
    # The GPU, libraries and compilers of this machine.
    *("CUDA_*", "NVIDIA_*", "ROCM_*", "HIP_*", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*", "LIBRARY_PATH", "CPATH"),
    *("CC", "CXX"),
    # Caches, and whether models are downloaded.
    *CACHES,
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_ENDPOINT"),
    # The way to the network.
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    # How many threads compute.
    *("OMP_*", "MKL_*", "KMP_*", "GOMP_*", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS", "RAYON_NUM_THREADS"),
)
# Secrets as Modal's templates name them, and the variables that they have.
TEMPLATES = {
    "huggingface-secret": ("HF_TOKEN",),
    "openai-secret": ("OPENAI_API_KEY",),
    "anthropic-secret": ("ANTHROPIC_API_KEY",),
    "wandb-secret": ("WANDB_API_KEY",),
    "github-secret": ("GITHUB_TOKEN",),
    "aws-secret": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
    "googlecloud-secret": ("SERVICE_ACCOUNT_JSON",),
    "postgres-secret": ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"),
}


class Isolation:
    """Tells for each environment of a batch what its worker processes have.

    Parameters
    ----------
    batch : Batch
        What runs.
    rootdir : Path
        The directory of the project.
    options : LocalOptions
        Settings of local mock mode.
    """

    def __init__(self, batch: Batch, rootdir: Path, options: LocalOptions) -> None:
        self._batch = batch
        self._rootdir = rootdir
        self._options = options
        self._project = list(dict.fromkeys(os.path.realpath(each) for each in (rootdir, Path.cwd())))

    def packages(self, environment: Environment) -> list[str]:
        """Return the packages of the project that a worker has: those that travel, or that its image may have."""
        brought = packages_of_project(self._batch, environment, self._rootdir) if environment.image is not None else []
        return [*environment.local_packages, *brought]

    def variables(self, environment: Environment) -> dict[str, str]:
        """Return the environment variables of this machine that a worker process has."""
        return {name: os.environ[name] for name in self._inherited(environment)}

    def limits(self, environment: Environment, scratch: Path) -> Limits:
        """Return what a worker process must do without.

        Parameters
        ----------
        environment : Environment
            Where it runs.
        scratch : Path
            The directory of the workers.
        """
        limits: Limits = {
            "roots": self._project,
            "closed": [],
            "apart": [str(scratch), *(path for path, _ in environment.volumes)],
            "modules": [],
            "distributions": None,
            "variables": [],
        }
        if not self._options.isolation:
            return limits
        limits["closed"] = self._project
        has = {*self._inherited(environment), *(name for name, _ in environment.env)}
        limits["variables"] = sorted(os.environ.keys() - has)
        contents = contents_of(self._batch, environment)
        if contents is not None:
            limits["roots"] = limits["closed"] = [*self._project, *directories_outside(contents)]
            limits["modules"] = modules_outside(contents, environment.local_packages)
            limits["distributions"] = sorted(contents)
        return limits

    def _inherited(self, environment: Environment) -> list[str]:
        if not self._options.isolation:
            # A container has nothing that measures coverage.
            return [name for name in os.environ if not name.startswith(("COVERAGE_", "COV_CORE_"))]
        patterns = [*INHERITED, *self._options.variables, *variables_of_secrets(environment.secrets)]
        return [name for name in os.environ if any(fnmatchcase(name, pattern) for pattern in patterns)]


def variables_of_secrets(secrets: Iterable[object]) -> list[str]:
    """Return the variables that secrets would bring: those of their names, and those of Modal's templates."""
    found: list[str] = []
    for secret in secrets:
        name = secret if isinstance(secret, str) else getattr(secret, "name", None)
        if isinstance(name, str):
            found += [name, name.upper().replace("-", "_"), *TEMPLATES.get(name, ())]
    return found
