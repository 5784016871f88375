"""Packs and replies travel compressed where that lets Modal take them with the request itself."""

from __future__ import annotations

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_modal import LoopbackModal

from pytest_modal.remote.compression import INLINE, MOST, compressed, decompressed
from pytest_modal.remote.data import CorruptDataError, encode


@given(st.lists(st.binary(max_size=200)), st.integers(0, 3000))
def test_what_was_compressed_comes_back(parts: list[bytes], times: int) -> None:
    whole = b"".join(parts) * times
    assert decompressed(compressed([*parts] * times)) == whole
    assert len(compressed([whole])) <= len(whole) + 1


@pytest.mark.parametrize("size", [0, INLINE, INLINE + 1, MOST, MOST + 1])
def test_sizes_at_the_limits_come_back(size: int) -> None:
    for whole in (bytes(size), os.urandom(size)):
        assert decompressed(compressed([whole])) == whole


def test_what_is_small_is_not_compressed_and_what_repeats_itself_fits() -> None:
    assert compressed([b"a" * INLINE]) == b"\0" + b"a" * INLINE
    replies = encode([{"status": "ok", "seconds": 7.0, "device": "cpu"} for _ in range(2000)])
    assert sum(map(len, replies)) > INLINE > len(compressed(replies))


@given(st.binary(max_size=300))
def test_what_was_not_compressed_is_refused_or_as_it_is(found: bytes) -> None:
    if found[:1] == b"\0":
        assert decompressed(found) == found[1:]
        return
    with pytest.raises(CorruptDataError):
        decompressed(found)


def test_what_was_compressed_is_read_whole_and_no_further() -> None:
    sent = compressed([b"a" * MOST])
    for damaged in (sent[:-1], sent + b"x", sent + sent, b"\1" + zlib.compress(bytes(MOST + 1))):
        with pytest.raises(CorruptDataError, match="truncated, or too large"):
            decompressed(damaged)


def test_many_small_results_need_no_blob(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(params=range(60))
        def scores(request): return [request.param / 7] * 20

        def test_it(scores): assert scores[0] <= 59 / 7
        """
    )
    pytester.runpytest_subprocess("--modal").assert_outcomes(passed=60)
    facts = modal_server.facts()
    assert facts["blobs"] == []
    # The last packs have dozens of results, of half a kilobyte each and more.
    assert len(facts["inputs"]) < 10
