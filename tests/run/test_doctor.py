"""``pytest-modal doctor``: on a server that does as assumed all is well; the report, the limits, the command line."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from doctor_visit import FILE, start, visit
from loopback_modal import LoopbackModal

from pytest_modal.declare.facts import Facts, read_facts
from pytest_modal.run.modal.doctor.check import State
from pytest_modal.run.modal.doctor.doctor import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
ALL = {
    *("configuration", "connection", "image", "container", "payloads", "logs", "streams", "gpu", "stats", "cancel"),
    *("crash", "memory", "timeout", "stopped", "session", "requests", "warnings"),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_is_as_assumed_on_a_server_that_does_as_assumed(modal_server: LoopbackModal) -> None:
    modal_server.change(cancel_grace=30)  # as Modal has: a busy machine needs it
    seen = visit(COLUMNS="80")
    assert {check["name"]: check["state"] for check in seen.report["checks"]} == dict.fromkeys(ALL, "ok")
    assert seen.status == 0
    assert seen.report["complete"] is True
    assert seen.text.splitlines()[-3:] == [
        "17 checks as assumed",
        f"{FILE} holds the report, without tokens and names;",
        f"the ini modal_facts = {FILE} has sessions go by it",
    ]
    assert max(map(len, seen.text.splitlines())) <= 80
    assert "\x1b" not in seen.text
    facts = modal_server.facts()
    assert [app["state"] for app in facts["apps"]] == ["stopped", "stopped"]
    assert sum(image["builds"] for image in facts["images"]) == len(facts["images"])
    assert read_facts(Path(FILE)).streams == 32


def test_the_page_lists_every_state_every_check_and_every_fact() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [*get_args(State), *(check.name for check in CHECKS), *(each.name for each in fields(Facts))]


def test_without_a_gpu_none_is_asked_for(modal_server: LoopbackModal) -> None:
    seen = visit("--no-gpu", "gpu", "container")
    assert seen.check("gpu")["state"] == "skipped"
    assert seen.check("container")["state"] == "ok"
    assert [container["gpu"] for container in modal_server.facts()["containers"]] == [""]


def test_a_check_that_hangs_stops_no_other(modal_server: LoopbackModal) -> None:
    modal_server.fail("rpc", times=None, rpc="FunctionGetCurrentStats", delay=60)
    seen = visit("stats", "payloads", "--limit", "8")
    assert seen.check("stats")["state"] == "unknown"
    assert seen.check("payloads")["state"] == "ok"
    assert seen.status == 1


def test_nothing_that_hangs_makes_it_longer_than_its_limit(modal_server: LoopbackModal) -> None:
    modal_server.fail("rpc", times=None, delay=60, once="AppPublish")
    seen = visit("--limit", "8")
    assert seen.report["complete"] is True
    assert {check["name"] for check in seen.report["checks"]} == ALL
    assert {"unknown", "skipped"} & {check["state"] for check in seen.report["checks"]}


def test_ctrl_c_leaves_what_is_known_and_ends_the_apps(modal_server: LoopbackModal) -> None:
    modal_server.fail("slow_start", times=None, seconds=60)
    with start() as process:
        modal_server.wait_for(lambda facts: len(facts["containers"]) >= 6)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=30)
    print(text)
    report = json.loads(Path(FILE).read_text())
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert process.returncode == 130
    assert report["complete"] is False
    assert (states["connection"], states["crash"]) == ("ok", "skipped")
    assert [app["state"] for app in modal_server.facts()["apps"]] == ["stopped", "stopped"]


@pytest.mark.parametrize(("number", "when"), [(1, {}), (2, {"once": "AppPublish"})], ids=["of the visit", "of a check"])
def test_ctrl_c_ends_an_app_that_is_being_opened(
    modal_server: LoopbackModal, number: int, when: dict[str, str]
) -> None:
    modal_server.fail("slow_start", times=None, seconds=60)
    modal_server.fail("rpc", times=1, rpc="FunctionCreate", delay=3, **when)
    with start() as process:
        modal_server.wait_for(lambda facts: len(facts["apps"]) == number)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=30)
    print(text)
    assert process.returncode == 130
    assert [app["state"] for app in modal_server.facts()["apps"]] == ["stopped"] * number


def test_no_token_and_no_name_is_in_the_report(modal_server: LoopbackModal, here: Path) -> None:
    (here / "modal.toml").write_text('[secretive]\ntoken_id = "ak-loopback"\ntoken_secret = "as-loopback"\n')
    environment = {"MODAL_CONFIG_PATH": str(here / "modal.toml"), "MODAL_PROFILE": "secretive"}
    seen = visit("warnings", without=["MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"], **environment)
    assert seen.status == 0
    assert "from profile secretive" in seen.text
    assert "workspace tester" in seen.text
    text = Path(FILE).read_text()
    for private in ("secretive", "tester", "ak-loopback", "as-loopback"):
        assert private not in text
    assert seen.check("configuration")["says"] == "from profile <profile>"


def test_no_name_is_in_the_report_where_none_can_be_chosen(modal_server: LoopbackModal, here: Path) -> None:
    (here / "modal.toml").write_text("".join(f'[{name}]\ntoken_id = "ak-{name}"\n' for name in ("secretive", "quiet")))
    seen = visit(without=["MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"], MODAL_CONFIG_PATH=str(here / "modal.toml"))
    assert seen.status == 1
    assert "is active: secretive, quiet" in " ".join(seen.text.split())
    text = Path(FILE).read_text()
    assert not any(private in text for private in ("secretive", "quiet", str(here)))


def test_a_report_that_cannot_be_written_is_an_error(modal_server: LoopbackModal, here: Path) -> None:
    (here / "out").mkdir()
    modal_server.fail("slow_start", function="probe", seconds=3)
    with start("container", "--output", "out/report.json") as process:
        modal_server.wait_for(lambda facts: facts["containers"])
        (here / "out").rmdir()
        (here / "out").touch()
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the report can't be written: File exists\n  where: out/report.json\n  what to do: name another" in text


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["stream"], {}, "there is no check 'stream'\n  where: the command line\n  what to do: use configuration, "),
        ([], {"MODAL_SERVER_URL": "https://api.modal.com"}, "--local is for a server of this machine, and "),
        (["--output", "."], {}, ". is a directory\n  where: --output\n  what to do: name a file"),
        (["--output", "x" * 300], {}, "x: File name too long\n  where: --output\n  what to do: name another file"),
        (["--output", "no/such/file.json"], {}, "the directory of no/such/file.json does not exist\n  where: --output"),
        (["--limit", "0"], {}, "use a number of seconds from 1 to 3600"),
        (["--limit", "soon"], {}, "invalid _seconds value: 'soon'"),
    ],
)
def test_a_wrong_command_line_is_an_error_before_anything_is_sent(
    modal_server: LoopbackModal, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    with start(*arguments, **environment) as process:
        text, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert says in text
    assert modal_server.facts()["rpcs"] == {}


def test_a_slow_way_to_modal_is_a_fact(modal_server: LoopbackModal) -> None:
    modal_server.change(latency=0.3)
    visit("connection")
    assert read_facts(Path(FILE)).round_trip_seconds > Facts.round_trip_seconds
