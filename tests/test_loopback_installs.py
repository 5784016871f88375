"""What images of the loopback server can install: each form of a requirement, decided as a build would decide."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from loopback_modal import index, recipe
from loopback_modal.index import NoSolutionError
from loopback_modal.installs import BuildError


@dataclass
class Installed:
    """A distribution that is installed here."""

    version: str
    requires: Sequence[str] = ()
    origin: dict[str, object] = field(default_factory=dict)

    def read_text(self, name: str) -> str | None:
        return json.dumps(self.origin) if self.origin and name == "direct_url.json" else None


REPOSITORY = "https://example.org/all.git"
WHEEL = "https://example.org/wheel-1.0-py3-none-any.whl"
HERE = {
    "numpy": Installed("2.4.6"),
    "torch": Installed("2.13.0+cpu", ["numpy"]),
    "lib": Installed("1.0", ["numpy", "torch; extra == 'gpu'", "absent; extra == 'all'"]),
    "of-git": Installed(
        "0.1.dev3",
        ["numpy"],
        {
            "url": REPOSITORY,
            "vcs_info": {"vcs": "git", "commit_id": "0123abc", "requested_revision": "main"},
            "subdirectory": "python",
        },
    ),
    "of-ssh": Installed(
        "1.0", (), {"url": "ssh://git@example.org/own.git", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}}
    ),
    "wheel": Installed("1.0", (), {"url": WHEEL, "archive_info": {"hashes": {"sha256": "00ff"}}}),
    "from-disk": Installed("1.0", (), {"url": "file:///downloads/from_disk.whl", "archive_info": {}}),
}
GIT = "apt-get install -y git"
OF_GIT = f"git+{REPOSITORY}@0123abc#subdirectory=python"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "installed", lambda: HERE)


def installs(*commands: str, base: str = "python:3.11.5-slim-bookworm", **files: str) -> str:
    """Build an image as the server does, a layer a command; return what it has, sorted."""
    context = {f"/{name}.txt": text.encode() for name, text in files.items()}
    layers = [[f"FROM {base}"]]
    layers += [["FROM base", *(f"COPY {name} {name}" for name in context), f"RUN {command}"] for command in commands]
    read: list[recipe.Recipe] = []
    for commands_of_layer in layers:
        read.append(recipe.read(commands_of_layer, context, bool(read) and read[-1].has_git))
    wanted = [[text for each in read for text in texts(each)] for texts in (_requirements, _constraints)]
    return " ".join(sorted(index.resolve(*wanted).names))


def _requirements(layer: recipe.Recipe) -> list[str]:
    return layer.requirements


def _constraints(layer: recipe.Recipe) -> list[str]:
    return layer.constraints


@pytest.mark.parametrize(
    ("requirement", "has"),
    [
        ("numpy", "numpy"),
        ("NumPy", "numpy"),
        ("numpy==2.4.6", "numpy"),
        ("numpy>=2,<3", "numpy"),
        ("numpy~=2.4", "numpy"),
        ("torch==2.13.0", "numpy torch"),  # the index's own build of it
        ("lib", "lib numpy"),
        ("lib[gpu]==1.0", "lib numpy torch"),
        ("lib[no-such-extra]", "lib numpy"),  # a warning, for pip and uv
        ("absent; python_version < '3'", ""),
        (f"wheel @ {WHEEL}#sha256=00ff", "wheel"),
        (f"wheel @ {WHEEL}", "wheel"),
        (f"{WHEEL}#sha256=00ff", "wheel"),
        (WHEEL.replace("//", "//me:token@"), "wheel"),
    ],
)
def test_what_an_index_or_a_url_has_is_installed(requirement: str, has: str) -> None:
    assert installs(f"/.uv/uv pip install --python $(command -v python) {shlex.quote(requirement)}") == has
    assert installs(f"python -m pip install {shlex.quote(requirement)}") == has


@pytest.mark.parametrize(
    ("requirement", "has"),
    [
        (f"of-git @ {OF_GIT}", "numpy of-git"),
        (OF_GIT, "numpy of-git"),
        (f"git+{REPOSITORY}@main#subdirectory=python", "numpy of-git"),
        (f"git+{REPOSITORY}#subdirectory=python", "numpy of-git"),
        ("of-ssh @ git+ssh://git@example.org/own.git@0123abc", "of-ssh"),
    ],
)
def test_git_is_needed_for_repositories(requirement: str, has: str) -> None:
    command = f"/.uv/uv pip install {shlex.quote(requirement)}"
    assert installs(GIT, command) == has
    assert installs(f"apt-get update && {GIT} curl && pip install {shlex.quote(requirement)}") == has
    assert installs(command, base="python:3.11") == has
    assert installs(command, base="somebody/else:latest") == has
    for commands in ([command], [command, GIT], ["apt-get install -y curl", command]):
        with pytest.raises(BuildError, match="Git executable not found"):
            installs(*commands)


@pytest.mark.parametrize(
    "options",
    [
        "--index-url https://download.example.org/cu128",
        "--index-url=https://download.example.org/cu128",
        "-i https://download.example.org/cu128",
        "--extra-index-url https://download.example.org/cu128 --prerelease allow",
        "--find-links https://example.org/wheels --no-build-isolation --pre",
        "--upgrade --torch-backend auto",
        "--compile-bytecode --index-strategy unsafe-best-match",
    ],
)
def test_options_are_no_requirements(options: str) -> None:
    assert installs(f"/.uv/uv pip install {options} numpy") == "numpy"
    assert installs(f"pip install numpy {options}") == "numpy"


FILE = """
# The index of the team.
--index-url https://download.example.org/simple
numpy == 2.4.6 \\
    --hash=sha256:00ff \\
    --hash=sha256:11ff
torch  # of any version

lib[gpu]; python_version >= "3"
"""


@pytest.mark.parametrize("option", ["-r /all.txt", "--requirement /all.txt", "--requirements=/all.txt"])
def test_files_of_requirements_are_read(option: str) -> None:
    assert installs(f"pip install {option}", all=FILE) == "lib numpy torch"
    with pytest.raises(NoSolutionError, match=r"no version of numpy==2\.0"):
        installs(f"pip install {option}", all="numpy==2.0")
    with pytest.raises(BuildError, match="File not found"):
        installs(f"pip install {option}")


def test_constraints_install_nothing_and_are_kept() -> None:
    assert installs("pip install -c /few.txt lib", few="numpy==2.4.6\nabsent==1.0") == "lib numpy"
    with pytest.raises(NoSolutionError, match=r"no version of numpy<2"):
        installs("pip install --constraint /few.txt lib", few="numpy<2")


def test_the_tools_of_the_base_image_are_there() -> None:
    assert installs("pip install --upgrade pip wheel uv", "pip install numpy") == "numpy"


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("absent", "absent was not found in the package registry"),
        ("absent==1.0", "absent was not found in the package registry"),
        ("numpy==2.0", "there is no version of numpy==2.0"),
        ("numpy>=3,<4", "there is no version of numpy<4,>=3"),
        ("numpy[fast]>=3", "there is no version of numpy>=3"),
        ("lib[all]", "absent was not found in the package registry"),
        ("numpy torch", "Failed to parse: `numpy torch`"),
        ("from-disk", "from-disk is from file:///downloads/from_disk.whl"),
        ("of-git", f"of-git is from {REPOSITORY}"),
        (f"wheel @ {WHEEL}#sha256=11ff", "Hash mismatch"),
        (f"{WHEEL}#sha256=11ff", "Hash mismatch"),
        (f"numpy @ {WHEEL}", "does not match given name `numpy`"),
        ("numpy @ https://example.org/numpy-2.4.6.whl", "Failed to download"),
        ("https://example.org/numpy-2.4.6.whl", "Failed to download"),
        (f"of-git @ git+{REPOSITORY}@4567def#subdirectory=python", "Failed to download"),
        (f"of-git @ git+{REPOSITORY}@0123abc", "Failed to download"),
        ("of-git @ git+https://example.org/other.git@0123abc", "Failed to download"),
        (f"of-git @ {REPOSITORY}", "Failed to download"),
        ("./lib", "Distribution not found at: ./lib"),
        ("/root/lib", "Distribution not found at: /root/lib"),
        (".", "Distribution not found at: ."),
        ("lib @ file:///root/lib", "Distribution not found at: file:///root/lib"),
    ],
)
def test_what_nobody_has_fails_the_build(requirement: str, told: str) -> None:
    with pytest.raises((BuildError, NoSolutionError)) as error:
        installs(GIT, f"/.uv/uv pip install {shlex.quote(requirement)}")
    assert told in str(error.value)
    with pytest.raises((BuildError, NoSolutionError)):
        installs(GIT, "pip install -r /all.txt", all=requirement)


@pytest.mark.parametrize("command", ["pip install -e .", "pip install --editable ./lib"])
def test_nothing_is_built_from_the_files_of_an_image(command: str) -> None:
    with pytest.raises(BuildError, match="Distribution not found"):
        installs(command)
