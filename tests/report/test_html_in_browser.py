"""The pages of a run and of a comparison in a browser: figures show, nothing leaves, no text of a record runs."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sample_comparison import write_comparison
from sample_record import earlier_record, sample_record

from pytest_modal.report.html.page import write_page
from pytest_modal.report.record import Record

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CODE = (
    "<script>hacked=1</script><img src=x onerror=hacked=2>\"'><svg onload=hacked=3></pre></details></title></style>"
    "](javascript:hacked=4) {{ 7 * 7 }} &lt; \x1b[31mred\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x9b2J\x00"
    "\u202edesrever\u2066\u200f\ufeff\ud800"
)
HOSTILE_NAME = '"><img src=x onerror=hacked=5>\u202e.'
HOSTILE_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" onload="hacked=6"><script>hacked=7</script>'
    b'<image href="http://127.0.0.1:9/seen.png"/><rect width="%d" height="40"/></svg>'
)
UNSAFE = r"/[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/"
OPEN_ALL = """document.querySelectorAll("details").forEach(each => { each.open = true; });
document.head.insertAdjacentHTML("beforeend", "<style>.test { content-visibility: visible !important; }</style>")"""
# Elements that end outside of the window; what may be wide is cut, or scrolls where the keyboard reaches it.
TOO_WIDE = """[...document.querySelectorAll("header *, main *")].filter(each =>
    each.getBoundingClientRect().right > innerWidth + 1 && !each.closest("[tabindex='0'], .sr, svg, .lane p")
).map(each => each.outerHTML.slice(0, 100))"""
KEPT = ("path", "sha256", "ending", "outcome")  # no text that anybody else writes
LONG = ("error", "printed", "text", "message", "was")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The output root with the files of the sample, and its record."""
    root = tmp_path_factory.mktemp("output")
    return root, sample_record(root)


@pytest.fixture(scope="module")
def sample(files: tuple[Path, Record]) -> Path:
    """The page of the sample."""
    root, record = files
    record = copy.deepcopy(record)
    record["problems"] = ["2 results could not be stored: no space left on device"]
    write_page(record, earlier_record(record), root, root / "report.html")
    return root / "report.html"


@pytest.fixture(scope="module")
def pages(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of the sample, and that of its comparison with an earlier run."""
    return {"run": sample, "comparison": write_comparison(tmp_path_factory.mktemp("comparison"))}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser, which is started once."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[Any]:
    """Yield the page, opened from disk; it has asked for nothing else, and its script met no error."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    asked, errors = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.goto(path.as_uri())
    yield page
    assert {url.partition("#")[0][:200] for url in asked if not url.startswith("data:")} == {path.as_uri()}
    assert errors == []
    context.close()


def hostile(value: Any, name: str = "") -> Any:
    """Return a record with code in each of its texts, and a line of a megabyte in those that are long anyway."""
    if isinstance(value, dict):
        return {key + CODE if name == "versions" else key: hostile(inner, key) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(inner, name) for inner in value]
    if isinstance(value, str) and value and name not in KEPT:
        return value + CODE + ("x" * 1_000_000 if name in LONG else "")
    return value


def hostile_page(files: tuple[Path, Record], directory: Path) -> Path:
    """Write the page of a run of which all texts, names of files and tables are hostile."""
    root, original = directory / "output", files[1]
    shutil.copytree(files[0], root, ignore=shutil.ignore_patterns("*.html"))
    record = copy.deepcopy(original)
    record["problems"] = ["2 files could not be written"]
    test = record["tests"][0]["nodeid"]
    name = HOSTILE_NAME
    code = CODE.encode("utf-8", "ignore").replace(b'"', b"'")
    for suffix, content in (("csv", b'"' + code + b'",b\n"' + code + b'",1\n=cmd(),2\n'), ("svg", HOSTILE_SVG)):
        (root / (name + suffix)).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        record["artifacts"].append(
            {"path": name + suffix, "test": test, "kind": "file", "bytes": len(content), "sha256": digest}
        )
    written: Any = hostile(record)
    write_page(written, hostile(earlier_record(record)), root, directory / "hostile.html")
    return directory / "hostile.html"


def hostile_comparison(directory: Path) -> Path:
    """Write the page of a comparison of two runs of which all texts, names of files and tables are hostile."""
    code = CODE.encode("utf-8", "ignore").replace(b'"', b"'")
    added = {}
    for name, content in (("csv", b'"' + code + b'"\n"' + code + b'%d"\n'), ("svg", HOSTILE_SVG)):
        added[f"{HOSTILE_NAME}{name}"] = [content.replace(b"%d", number) for number in (b"1", b"2")]
    return write_comparison(directory, hostile, added)


def test_figures_of_two_runs_show_side_by_side_and_one_upon_the_other(browser: Any, pages: dict[str, Path]) -> None:
    with opened(browser, pages["comparison"]) as page:
        images = page.locator(".card", has=page.get_by_role("heading", name="loss.png")).locator("img")
        assert images.count() == 4
        for index in range(images.count()):
            page.wait_for_function("image => image.naturalWidth > 0", arg=images.nth(index).element_handle())
        boxes = [images.nth(index).bounding_box() for index in range(4)]
        assert boxes[0]["y"] == boxes[1]["y"] == boxes[2]["y"], "side by side"
        assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
        assert boxes[2] == boxes[3], "one upon the other"
        assert images.nth(3).evaluate("image => getComputedStyle(image).mixBlendMode") == "difference"


def test_figures_show_and_open_large(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        images = page.locator(".picture img")
        assert images.count() == 3
        for index in range(images.count()):
            # They need not be on the screen: a print has them all.
            page.wait_for_function("image => image.naturalWidth > 0", arg=images.nth(index).element_handle())
        images.first.click()
        assert page.locator("dialog img").is_visible()
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()


@pytest.mark.parametrize("width", [360, 768])
@pytest.mark.parametrize("which", ["run", "comparison"])
def test_nothing_is_wider_than_the_window(browser: Any, pages: dict[str, Path], which: str, width: int) -> None:
    with opened(browser, pages[which], width) as page:
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(TOO_WIDE) == []


def test_tests_are_found_by_their_name_and_outcome(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        tests = page.locator("#tests .test")
        shown = page.locator("#tests .test:visible")
        assert shown.count() == tests.count() == 23
        page.get_by_label("Filter tests").fill("BATCH test_inference")
        assert shown.count() == 12
        assert page.locator("#tests [role=status]").inner_text() == "12 of 23 shown"
        page.get_by_label("Filter tests").fill("")
        passed = page.get_by_role("group", name="Outcome").get_by_role("button", name="passed")
        passed.press("Enter")
        assert passed.get_attribute("aria-pressed") == "false"
        assert shown.count() == 6
        page.get_by_label("Filter tests").fill("no such test")
        assert page.get_by_text("No test matches the filter.").is_visible()


def test_tests_are_put_in_order(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        first = page.locator("#tests .test h3").first
        for order, name in (("slowest first", "test_loss_falls"), ("failed first", "test_calibration_error_is_small")):
            page.locator(".order").select_option(order)
            assert (first.text_content() or "").startswith(name)
        page.locator(".order").select_option("by name")
        names = page.locator("#tests .test h3").all_text_contents()
        assert names.index("test_batch_is_answered[2] evals/test_inference.py:33") < names.index(
            "test_batch_is_answered[10] evals/test_inference.py:41"
        )


def test_only_what_failed_is_shown_by_a_click_and_after_the_page_was_loaded_again(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        shown = page.locator("#tests .test:visible")
        only = page.get_by_role("button", name="only failed")
        only.click()
        assert shown.count() == 4
        page.get_by_label("Filter tests").fill("long prompts")
        page.reload()
        assert shown.count() == 2
        assert page.get_by_label("Filter tests").input_value() == "long prompts"
        assert only.get_attribute("aria-pressed") == "true"
        only.click()
        page.get_by_label("Filter tests").fill("")
        assert shown.count() == 23
        assert page.url == sample.as_uri()


def test_a_failure_shows_the_figures_of_its_test_small_and_their_data_is_there_once(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        small = page.locator("#failures .thumb img")
        assert small.evaluate_all("images => images.every(image => image.complete && image.naturalWidth > 0)")
        page.locator("#tests .close-all").click()
        small.first.click()
        page.wait_for_function("document.querySelector('figure:target img').checkVisibility()")
        assert page.locator("figure:target img").get_attribute("src") == small.first.get_attribute("src")
    assert sample.read_text("utf-8").count("data:image/") == 3


def test_a_traceback_is_copied_or_selected(browser: Any, sample: Path) -> None:
    traceback = "test_calibration.py:38: AssertionError"
    for permissions in (["clipboard-read", "clipboard-write"], []):
        with opened(browser, sample, permissions=permissions) as page:
            if not permissions:
                page.evaluate("delete Navigator.prototype.clipboard")
            button = page.locator("#failure-2").get_by_role("button", name="Copy Traceback")
            button.click()
            page.wait_for_function("button => button.textContent !== 'Copy'", arg=button.element_handle())
            read = "navigator.clipboard.readText()" if permissions else "getSelection().toString()"
            assert page.evaluate(read).endswith(traceback)


def test_flips_are_found_by_what_they_say_and_their_direction(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        rows = page.locator("#gate-1 .flips tbody tr:visible")
        assert rows.count() == 52
        page.locator("#gate-1").get_by_role("button", name="worse").click()
        assert rows.count() == 9
        name = rows.first.locator("th").inner_text()
        page.get_by_label("Filter flips of arithmetic").fill(name)
        assert rows.count() == 1


def test_tables_are_sorted_by_a_heading_as_numbers(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        table = page.get_by_role("group", name="Where the time went").locator("table")
        heading = table.get_by_role("columnheader", name="Time")
        for turn in ("ascending", "descending"):
            heading.get_by_role("button").press("Enter")
            assert heading.get_attribute("aria-sort") == turn
            took = [float(each.get_attribute("data-sort")) for each in table.locator("tbody td:nth-child(2)").all()]
            assert took == sorted(took, reverse=turn == "descending")


def test_a_link_to_a_closed_test_opens_it(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        page.locator("#failures").get_by_role("link", name="test_long_prompts_are_answered").click()
        test = page.locator("#tests .test:target")
        test.get_by_role("link", name="Traceback and output").wait_for(state="visible")


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize(
    ("within", "name"),
    [
        ("#failures", "test_long_prompts_are_answered"),
        ("#failures", "test_arithmetic"),
        (".contents", "Gates"),
        (".contents", "Tests"),
        (".contents", "Differences"),
        ("#differences", "test_calibration_error_is_small"),
    ],
)
def test_a_link_leads_to_where_its_target_is_at_the_top(
    browser: Any, sample: Path, within: str, name: str, width: int
) -> None:
    with opened(browser, sample, width, reduced_motion="no-preference") as page:
        link = page.locator(within).get_by_role("link", name=name).first
        link.click()
        page.wait_for_timeout(500)  # a scroll that goes on would have an end
        top = page.evaluate("document.querySelector(':target').getBoundingClientRect().top")
        assert 0 <= top <= 100


def test_without_scripts_all_of_it_can_be_read(browser: Any, sample: Path) -> None:
    with opened(browser, sample, java_script_enabled=False) as page:
        assert page.get_by_role("heading", name="5 of 46 tests failed").is_visible()
        assert page.locator("#tests .test").count() == 23
        assert page.locator(".controls:visible").count() == 0
        tests = page.locator("#tests .test")
        # What failed is first, and open; of the others those with figures are.
        for index, is_open in ((0, True), (3, True), (4, True), (5, False)):
            assert (tests.nth(index).get_attribute("open") is not None) is is_open
        tests.nth(5).locator("summary").first.click()
        assert tests.nth(5).locator(".inside").is_visible()
        assert page.locator("#failures").get_by_role("link", name="reliability.png").is_visible()
        assert page.get_by_role("button").count() == 0


def test_print_shows_what_is_closed_and_no_controls(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        calls = page.locator("#test-1 .more table")
        assert not calls.is_visible()
        page.emulate_media(media="print")
        assert calls.is_visible()
        assert page.locator(".controls:visible, .contents:visible").count() == 0


def test_print_has_the_first_flips_and_says_how_many_more_the_page_has(browser: Any, sample: Path) -> None:
    with opened(browser, sample) as page:
        note = page.locator("#gate-1 .printed")
        assert not note.is_visible()
        page.emulate_media(media="print")
        assert page.locator("#gate-1 .flips tbody tr:visible").count() == 30
        assert note.inner_text() == "22 more are in the page."


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("which", ["run", "comparison"])
def test_no_text_of_a_record_runs_or_leads_anywhere(
    browser: Any, files: tuple[Path, Record], tmp_path: Path, which: str, width: int
) -> None:
    written = hostile_page(files, tmp_path) if which == "run" else hostile_comparison(tmp_path)
    with opened(browser, written, width) as page:
        page.evaluate(OPEN_ALL)
        page.locator("figure img").last.scroll_into_view_if_needed()
        assert page.evaluate("typeof hacked") == "undefined"
        assert page.evaluate("document.scripts.length") == (1 if which == "run" else 0)
        own = "document.querySelectorAll('[onerror], [onload], img:not([src^=\"data:\"]):not(dialog img)').length"
        assert page.evaluate(own) == 0
        links = page.evaluate("[...document.links].map(each => each.getAttribute('href'))")
        assert {link.partition(":")[0] for link in links if not link.startswith("#")} <= {"https", "data"}
        # Nothing steers the text around it, and what was there is seen.
        assert page.evaluate(f"{UNSAFE}.test(document.documentElement.outerHTML)") is False
        text = page.evaluate("document.body.innerText")
        for seen in (r"\u202edesrever\u2066", r"\x1b]8;;javascript:alert(1)\x07link", r"\x00", "{{ 7 * 7 }}"):
            assert seen in text
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("document.documentElement.outerHTML.length") < 5_000_000


@pytest.mark.parametrize("which", ["run", "comparison"])
def test_a_script_that_came_in_all_the_same_would_not_run(browser: Any, pages: dict[str, Path], which: str) -> None:
    with opened(browser, pages[which]) as page:
        insert = """() => {
            document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='hacked = 1'>");
            const script = document.createElement("script");
            script.textContent = "hacked = 2";
            document.body.append(script);
        }"""
        page.evaluate(insert)
        page.wait_for_timeout(100)
        assert page.evaluate("typeof hacked") == "undefined"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["run", "comparison"])
def test_axe_finds_no_serious_fault(browser: Any, pages: dict[str, Path], which: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, pages[which], color_scheme=scheme) as page:
        page.evaluate(OPEN_ALL)
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == []
