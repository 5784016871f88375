"""Secrets of a container and of this machine: nothing that is shown, kept or committed holds one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from loopback_modal import LoopbackModal

from pytest_modal.remote import data
from pytest_modal.remote.masks import Masks, SecretNames

SUITE = """
    import os
    import numpy as np
    import pytest, pytest_modal

    @pytest_modal.fixture(packages=["numpy"], secrets=["ours"])
    def told():
        import warnings
        secret = os.environ["HF_TOKEN"]
        print("the token is", secret)
        warnings.warn(f"old token {secret}")
        return {"env": dict(os.environ), "array": np.array([secret, "x"]), "bytes": secret.encode(), secret: 1}

    @pytest_modal.fixture(packages=["numpy"], secrets=["ours"])
    def fails():
        import sys
        secret = os.environ["HF_TOKEN"]
        print("unauthorized:", secret, file=sys.stderr)
        raise ValueError(f"401 for {secret}")

    @pytest_modal.fixture(packages=["numpy"], env={"OUR_API_KEY": "declared-secret"})
    def declared():
        print("key", os.environ["OUR_API_KEY"])
        return os.environ["OUR_API_KEY"]

    def test_told(told, accuracy_gate):
        assert told["env"]["HF_TOKEN"].strip("*") == ""
        assert told["array"].tolist()[1] == "x"
        rows = [{"id": i, "correct": True, "output": told["env"]["HF_TOKEN"], "input": "x"} for i in range(20)]
        accuracy_gate("told", rows)

    def test_fails(fails): pass
    def test_declared(declared): assert declared != declared, "shown"
"""
ALL = (
    "--modal-record",
    "--modal-update-baselines",
    "-o",
    "modal_baseline_rounds=1",
    "--junitxml=report.xml",
    "-rA",
    "-s",
)


def files_with(directory: Path, secret: str) -> list[Path]:
    forms = [secret.encode(encoding) for encoding in ("utf-8", "utf-32-le")]
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("test_")]
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_no_secret_is_shown_or_kept(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode == "modal":
        server: LoopbackModal = request.getfixturevalue("modal_server")
        server.add_secret("ours", {"HF_TOKEN": "hf_SECRET12345", "ENDPOINT": "of-us-only.example"})
    else:
        monkeypatch.setenv("HF_TOKEN", "hf_SECRET12345")
        monkeypatch.setenv("ENDPOINT", "of-us-only.example")
        pytester.makeini("[pytest]\nmodal_secret_variables = ENDPOINT\nmodal_local_env =\n  HF_TOKEN\n  ENDPOINT")
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly", *ALL, timeout=120)
    result.assert_outcomes(passed=1, failed=1, errors=1, warnings=3)
    result.stdout.fnmatch_lines(["*the token is [*][*][*]", "*ValueError: 401 for [*][*][*]*"], consecutive=False)
    result.stdout.fnmatch_lines(["*the result of told held what is secret, the value of *HF_TOKEN*: asterisks are*"])
    for secret in ("hf_SECRET12345", "of-us-only.example", "declared-secret"):
        assert secret not in result.stdout.str()
        assert files_with(pytester.path, secret) == []
    assert [*pytester.path.glob("recordings/*/told.json")]
    assert [*pytester.path.glob("baselines/told.jsonl")]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        *(
            (name, "hf_12345", True)
            for name in ("HF_TOKEN", "OPENAI_KEY", "GH_PAT", "BASIC_AUTH", "db_pwd", "SENTRY_DSN")
        ),
        ("DATABASE_URL", "postgres://user:pw0rd1234@host/db", True),
        ("DATABASE_URL", "postgres://host/db", False),
        ("SSH_AUTH_SOCK", "/tmp/ssh-1/agent", False),
        ("GIT_AUTHOR_NAME", "Ada Lovelace", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("MAX_TOKENS", "100000", False),
        ("MONKEY", "capuchin", False),
        ("OURS_X", "whatever", True),
        ("OURS_MODE_KEY", "whatever", False),
        ("MY_PASSWORD", "short", False),
    ],
)
def test_what_looks_secret(name: str, value: str, secret: bool) -> None:
    assert SecretNames(("OURS_*", "!OURS_MODE_*")).is_secret(name, value) == secret


def test_with_secrets_of_modal_all_is_secret_that_is_not_known(tmp_path: Path) -> None:
    names = SecretNames((), public=("MODE",))
    variables = {
        "MODE": "evaluation",
        "PYTHONPATH": "/root/x/y",
        "DATA": str(tmp_path),
        "WHO": "somebody",
        "N": "12345678",
    }
    assert names.among(variables.items()) == [("WHO", "somebody")]


SECRET = 'se"cré\\t-1'
VALUES = [
    SECRET,
    f"Bearer {SECRET}!",
    SECRET.encode(),
    {SECRET: [SECRET, 1.5]},
    [{"a": SECRET, "b": float(each)} for each in range(20)],
    np.str_(SECRET),
    np.bytes_(SECRET.encode()),
    np.array([[SECRET, "x"]]),
    np.array([SECRET], ">U30"),
    np.array([SECRET.encode()]),
    np.array([(SECRET, 1)], [("a", "U12"), ("b", "f4")]),
    np.frombuffer(SECRET.encode(), "u1"),
    [np.arange(100_000), SECRET],
]


@pytest.mark.parametrize("apart", [True, False], ids=["buffers", "one buffer"])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:20])
def test_a_secret_in_a_value_is_covered_and_the_rest_stays(value: object, apart: bool) -> None:
    encoded = data.encode(value)
    masked, found = Masks([("OURS", SECRET)]).encoded(encoded if apart else [b"".join(encoded)])
    assert found == ["OURS"]
    read = data.decode(b"".join(masked))
    assert type(read) is type(value)
    if isinstance(value, np.ndarray):
        assert (read.dtype, read.shape) == (value.dtype, value.shape)
    again, still = Masks([("OURS", SECRET)]).encoded(masked)
    assert (b"".join(again), still) == (b"".join(masked), [])
    if type(value) is list:
        assert len(read) == len(value)


def test_other_values_are_not_even_copied() -> None:
    encoded = data.encode([np.arange(10), "text"])
    masked, found = Masks([("OURS", SECRET)]).encoded(encoded)
    assert found == []
    assert all(one is other for one, other in zip(masked, encoded, strict=True))


def test_a_secret_across_the_pieces_that_are_searched_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_modal.remote.masks._PIECE", 64)
    for before in range(200):
        masked, found = Masks([("OURS", "secret-12345")]).encoded(data.encode("x" * before + "secret-12345"))
        assert found == ["OURS"]
        assert data.decode(b"".join(masked)) == "x" * before + "*" * 12


ARGUMENT = """
    import os
    import pytest, pytest_modal

    @pytest.fixture(scope="session")
    def prompts():
        return ["hello", {"headers": [f"Bearer {os.environ['OPENAI_KEY']}"]}]

    @pytest_modal.fixture(packages=[])
    def answers(prompts): return 1

    @pytest_modal.fixture(packages=[])
    def others(): return 2

    def test_answers(answers): assert answers == 1
    def test_others(others): assert others == 2
"""


def test_an_argument_that_holds_a_secret_is_not_sent(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_KEY", "sk-12345678")
    pytester.makepyfile(ARGUMENT)
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "the argument 'prompts' holds the value of the environment variable OPENAI_KEY, which is secret",
            "  where: *prompts*",
            "  what to do: read the variable in the function's body, and give the container one by secrets=; *",
        ]
    )
    assert "sk-12345678" not in result.stdout.str()
    pytester.makeini("[pytest]\nmodal_secret_variables = !OPENAI_KEY")
    pytester.runpytest_inprocess("-p", "no:randomly").assert_outcomes(passed=2)
