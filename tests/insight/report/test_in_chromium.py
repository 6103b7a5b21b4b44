"""The page in a browser: no error in its console, nothing wider than a phone, the right numbers."""

from __future__ import annotations

import html
import pathlib
import re
import shutil
import subprocess

import pytest
import small_models

import tafe_tf
from tafe_tf.data.atomic import write_json
from tafe_tf.insight.page.render import render
from tafe_tf.training.run import Run

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path is not None), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--v=0"),
]
PHONE = 390  # pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = small_models.make_run(tmp_path_factory.mktemp("shop"), "shop")
    run = tafe_tf.load(directory.path)
    run.directory.files.forget("metrics.json")
    metrics = run.evaluate(run.directory.rows.test_files())  # of the weights that it has now
    write_json(run.path / "metrics.json", metrics)
    run.directory.files.note("metrics.json")
    return run


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    run.report(path, by=["user", "hour"])
    return path


def chromium(tmp_path: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None, "the tests are skipped otherwise"
    ended = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def console(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the page's console."""
    return [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_has_no_error_and_the_numbers_of_metrics_json(
    run: Run, page: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    ended = chromium(tmp_path, "--dump-dom", page.as_uri())
    assert console(ended) == []
    dom = ended.stdout
    start = dom.index(">The test rows</caption>")
    table = dom[start : dom.index("</table>", start)]
    assert run.metrics is not None
    for name in ("ctr", "ctcvr", "cvr"):
        row = re.search(rf">{name}</th>(.*?)</tr>", table, re.S)
        assert row is not None, name
        shown = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row[1])]
        kinds = ("auc", "gauc", "log_loss", "pcoc", "ece")
        for kind, text in zip(kinds, shown, strict=True):
            value = run.metrics[f"{kind}/{name}"]
            expected = "-" if value is None else f"{value:.4f}"
            assert text.split()[0] == expected, (kind, name)


def test_an_error_would_be_seen(tmp_path: pathlib.Path) -> None:
    """The console is read: a page with a script, which the policy of the page forbids, shows."""
    text = render("A page", []).replace("</body>", "<script>alert(1)</script></body>")
    (tmp_path / "evil.html").write_text(text)
    ended = chromium(tmp_path, "--dump-dom", (tmp_path / "evil.html").as_uri())
    assert any("Content Security Policy" in line for line in console(ended))


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_nothing_is_wider_than_the_screen(
    page: pathlib.Path, tmp_path: pathlib.Path, width: int
) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{page.as_uri()}" style="width:{width}px;height:900px;border:0" onload="'
        "const root = this.contentDocument.documentElement;"
        "document.title = 'widths ' + root.scrollWidth + ' ' + root.clientWidth"
        '"></iframe>'
    )
    same_origin = ("--disable-web-security", "--allow-file-access-from-files")
    ended = chromium(tmp_path, *same_origin, "--dump-dom", frame.as_uri())
    widths = re.search(r"<title>widths (\d+) (\d+)</title>", ended.stdout)
    assert widths is not None, ended.stdout[:500]
    assert widths.groups() == (str(width), str(width))


def test_it_can_be_printed(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", page.as_uri())
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
