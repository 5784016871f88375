"""The contract with pytest's private side: each name that the plugin uses, seen to work."""

from __future__ import annotations

import pytest

from pytest_modal import _pytest_compat as compat


def test_the_private_names_do_what_the_plugin_expects(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_modal import _pytest_compat as compat

        @pytest.fixture(scope="session", autouse=True)
        def always(): pass

        @pytest.fixture(autouse=True)
        def each(): pass

        @pytest.fixture(scope="module")
        def overridden(): return 1

        torn_down = []

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtestloop(session):
            item, other = session.items[:2]
            assert compat.cache_root(session.config) == session.config.cache.mkdir("any").parents[1]
            assert compat.own_names(item) == ("overridden", "n", "request")
            assert {"overridden", "n", "used", "always"} <= set(compat.initial_names(item))
            assert [d.func() for d in compat.fixture_chain(item, "overridden") if not d.argnames] == [1]
            assert len(compat.fixture_chain(item, "overridden")) == 2
            assert compat.fixture_chain(item, "not_there") == ()
            assert compat.is_parametrized(compat.fixture_chain(item, "n")[-1])
            assert not compat.is_parametrized(compat.fixture_chain(item, "used")[-1])
            assert compat.param_of(item, "n") == 5 and compat.param_of(item, "used") is compat.NOTHING
            assert compat.session_autouse(item) == ["always"]
            assert {"always", "each"} <= set(compat.autouse(item))
            assert compat.sends_nothing(other) and not compat.sends_nothing(item)
            assert [compat.condition_that_skips(each) for each in session.items] == [None, None, "no card"]
            assert [mark.args for mark in compat.nearest_marks(item, "near")] == [(1,), (2,), (3,)]
            known = compat.visible_fixtures(item)
            assert {"used", "overridden", "tmp_path"} <= set(known) and "nowhere" not in known
            error = compat.fixture_not_found(item._request, "usd", "did you mean 'used'?")
            assert str(error.formatrepr().errorstring).splitlines()[:2] == [
                "fixture 'usd' not found", " did you mean 'used'?"
            ]
            assert not any(map(compat.collects_doctests, item.listchain()))
            before = item._request
            with compat.active(item, None, lambda rest: rest()) as request:
                assert not compat.is_set_up(item, "overridden")
                assert request.getfixturevalue("overridden") == [1]
                assert compat.is_set_up(item, "overridden") and not compat.is_set_up(item, "n")
                definition = compat.fixture_chain(item, "overridden")[-1]
                assert compat.request_for(request, definition, 7).param == 7
                # seen from the overriding fixture, its own name is the one that it overrides
                assert compat.request_for(request, definition).getfixturevalue("overridden") is not None
                assert torn_down == []
            assert torn_down == ["overridden"]
            assert list(session._setupstate.stack) == [session]
            assert item._request is not before and item.funcargs == {}
            return (yield)
        """
    )
    pytester.makepyfile(
        """
        import pytest
        import conftest

        @pytest.fixture
        def used(): pass

        @pytest.fixture(scope="module")
        def overridden(overridden):
            yield [overridden]
            conftest.torn_down.append("overridden")

        pytestmark = pytest.mark.near(3)

        @pytest.mark.usefixtures("used")
        @pytest.mark.near(2)
        @pytest.mark.parametrize("n", [pytest.param(5, marks=pytest.mark.near(1))])
        def test_it(overridden, n, request):
            from pytest_modal._pytest_compat import item_of
            assert overridden == [1] and item_of(request) is request.node
            from pytest_modal import _pytest_compat as compat
            assert "capsys" not in compat.active_fixtures(request.node)
            request.getfixturevalue("capsys")
            assert {"overridden", "used", "capsys"} <= set(compat.active_fixtures(request.node))

        @pytest.mark.skip
        def test_skipped(): pass

        @pytest.mark.skipif(True, reason="no card")
        def test_conditional(): pass

        class TestNowhere:
            @pytest.fixture
            def nowhere(self): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:modal", "-p", "no:asyncio")
    result.assert_outcomes(passed=1, skipped=2)


def test_parametrizations_and_definitions_of_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_modal import _pytest_compat as compat

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtestloop(session):
            first, second, *_ = session.items
            assert list(compat.params_of(first).items()) == [("n", 1), ("x", 5), ("y", [6])]
            assert list(compat.ids_of(first)) == ["one", "5-y0"]
            assert compat.position_of(first) < compat.position_of(second)
            found = {each.argname: each for each in compat.definitions_for(session.items)}
            assert {"wide", "narrow", "late", "by_test"} <= set(found)
            assert compat.outlives(first, found["wide"], found["narrow"])
            assert not compat.outlives(first, found["narrow"], found["wide"])
            compat.request_nothing(found["late"])
            compat.cache_by(found["by_test"], lambda item: item.name)
            return (yield)

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_call(item):
            assert compat.value_of(item, "wide") == [item.name]
            return (yield)
        """
    )
    pytester.makepyfile(
        """
        import inspect
        import pytest

        @pytest.fixture
        def narrow(): return 1

        def late(request, **narrower): return narrower
        late.__signature__ = inspect.signature(lambda request, narrow: None)
        late = pytest.fixture(scope="session")(late)

        @pytest.fixture(scope="session")
        def by_test(request): return request._pyfuncitem.name

        @pytest.fixture(scope="session")
        def wide(by_test): return [by_test]

        @pytest.mark.parametrize("x, y", [(5, [6])])
        @pytest.mark.parametrize("n", [pytest.param(1, id="one"), 2])
        def test_it(late, wide, n, x, y, request):
            assert late == {} and wide == [request.node.name]
        """
    )
    pytester.runpytest("-p", "no:randomly", "-p", "no:modal", "-p", "no:asyncio").assert_outcomes(passed=2)


def test_a_test_runs_silently_as_often_as_it_is_wanted(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_modal import _pytest_compat as compat

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            for _ in range(3):
                reports = compat.run_silently(item, None)
                assert [report.when for report in reports] == ["setup", "call", "teardown"]
                assert sum("printed once" in text for _, text in reports[-1].sections) == 1
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    pytester.makepyfile(
        """
        import pytest

        RUNS = []

        @pytest.fixture(scope="session")
        def whole(): return len(RUNS)

        def test_it(whole):
            RUNS.append(whole)
            print("printed once")
            assert RUNS == list(range(len(RUNS)))  # what lives for the session is made anew each time
        """
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)


def test_a_report_shows_the_failure_that_was_put_into_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        from pytest_modal import _pytest_compat as compat

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if report.failed:
                compat.put_failure(report, "the text\\nof the failure", "model.py", 7, "the headline")
                again = pytest.TestReport._from_json(report._to_json())
                assert again.longreprtext == report.longreprtext == "the text\\nof the failure"
                assert str(again.longrepr.reprcrash) == "model.py:7: the headline"
            return report
        """
    )
    pytester.makepyfile(test_it="def test_it(): assert 0")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["the text", "of the failure", "FAILED *::test_it - the headline"])
    pytester.runpytest_inprocess("--tb=line").stdout.fnmatch_lines(["model.py:7: the headline"])


def test_lines_of_the_plugin_begin_on_a_line_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_modal import _pytest_compat as compat

        def pytest_runtest_logreport(report):
            pass

        def pytest_runtest_logfinish(nodeid, location):
            screen = config_of[0].pluginmanager.get_plugin("terminalreporter")
            screen._tw.write(".")  # a letter of a test that a worker of pytest-xdist ran
            screen.currentfspath = None
            for line in ("first", "second"):
                compat.start_line(screen)
                screen.write_line(line)

        config_of = []

        def pytest_configure(config):
            config_of.append(config)

        def pytest_terminal_summary(terminalreporter):
            compat.start_section(terminalreporter, "ours")
            terminalreporter.write_line("third")
        """
    )
    pytester.makepyfile(test_it="def test_it(): pass")
    lines = pytester.runpytest_inprocess("-p", "no:randomly").outlines
    assert lines[lines.index("first") + 1] == "second"
    title = next(number for number, line in enumerate(lines) if " ours " in line)
    assert (lines[title - 1], lines[title + 1]) == ("", "third")


@pytest.mark.parametrize("options", [("--color=yes",), ("--color=no", "-o", "log_cli=true"), ("--log-cli-level=INFO",)])
def test_what_a_screen_can_show_is_known(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "123")
    pytester.makeconftest(
        """
        from pytest_modal import _pytest_compat as compat

        def pytest_terminal_summary(terminalreporter, config):
            seen = compat.width_of(terminalreporter), compat.has_colours(terminalreporter), compat.shows_logs(config)
            print(*seen)
        """
    )
    result = pytester.runpytest_inprocess(*options)
    assert f"123 {'--color=yes' in options} {'--color=yes' not in options}" in result.outlines


def test_a_screen_without_a_width_has_none() -> None:
    assert (compat.width_of(object()), compat.has_colours(object())) == (0, False)


def test_a_test_is_skipped_at_its_own_place_and_fails_by_an_exception_of_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_modal import _pytest_compat as compat

        class Both(compat.Failed, AssertionError): pass

        def pytest_runtest_setup(item):
            if item.name == "test_skipped":
                compat.skip_at_item("not here")

        def pytest_runtest_call(item):
            raise Both("told in full", pytrace=False)
        """
    )
    pytester.makepyfile(test_it="def test_skipped(): pass\n\ndef test_failed(): pass\n")
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:asyncio", "-rs")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*_ test_failed _*", "told in full", "SKIPPED * test_it.py:1: not here"])


def test_the_junit_report_takes_properties_of_the_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_modal import _pytest_compat as compat

        def pytest_collection_finish(session):
            compat.add_suite_property(session.config, "answer", "42")
        """
    )
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.runpytest("--junitxml=junit.xml").assert_outcomes(passed=1)
    assert '<property name="answer" value="42"' in (pytester.path / "junit.xml").read_text()


def test_the_project_of_a_directory_is_where_its_ini_is(pytester: pytest.Pytester) -> None:
    below = pytester.mkdir("below")
    assert compat.project_of(below) == (below, {})
    ini = pytester.makeini("[pytest]\nmodal_output_dir = out\n")
    assert compat.project_of(below) == (pytester.path, {"modal_output_dir": "out"})
    ini.write_text("[pytest\n")
    assert compat.project_of(below) == (below, {})
