"""A real browser: headless Chromium with JupyterLab runs notebooks, light and dark.

What arrays, functions, trees, reports and live loops show is found in the page; no error is on the
console, and no request leaves this machine. Screenshots are kept in the folder JITML_ARTEFACTS.
Runs with JITML_BROWSER=1, where the extras `notebook` and `browser` are installed and a Chromium
is at hand; `make check-all` does that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import PACKAGES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
TOKEN = "of-this-test"
PATIENCE_S = 240
HEIGHT = 7000  # of the window: all cells are seen at once
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all outputs are in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

pytestmark = [
    pytest.mark.skipif("JITML_BROWSER" not in os.environ, reason="JITML_BROWSER is not set"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.filterwarnings("default"),  # of Jupyter's own
]


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("JITML_ARTEFACTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab of its own, in a folder with copies of the notebooks."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(NOTEBOOKS, home / "work")
    (home / "work" / "arrays.ipynb").write_text(json.dumps(notebook(ARRAYS)), "utf-8")
    for name, settings in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), "utf-8")
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "HOME": str(home)}
    environment |= {f"JUPYTER_{n}_DIR": str(home / n) for n in ("CONFIG", "DATA", "RUNTIME")}
    options = [
        "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1", "--expose-app-in-browser",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home / 'work'}",
        f"--LabApp.user_settings_dir={home / 'settings'}", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log
        )
        try:
            yield address_of(process, home / "log")
        finally:
            process.terminate()
            process.wait(timeout=30)


def address_of(process: Any, log: Path) -> str:
    """Where the server that has just been started answers."""
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text("utf-8"))
        if found:
            try:
                urllib.request.urlopen(f"{found[0]}api", timeout=5).close()
                return found[0]
            except OSError:
                pass
        assert process.poll() is None, log.read_text("utf-8")
        time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox", "--disable-background-networking", "--disable-sync"]
        found = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield found
        found.close()


class Page:
    """A notebook in JupyterLab, run to its end; what went wrong, and what was asked for."""

    def __init__(self, browser: Any, server: str, name: str, folder: Path) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._name, self._folder = name, folder
        self.page = browser.new_page(viewport={"width": 1300, "height": HEIGHT})
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{server}lab/tree/{name}.ipynb?token={TOKEN}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self._wait_for_kernel()
        self.execute("notebook:run-all-cells")
        self.page.wait_for_timeout(1000)
        self.page.wait_for_function(ALL_DONE, timeout=1000 * PATIENCE_S)
        self.page.wait_for_timeout(500)

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def _wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=90_000,
        )

    def execute(self, command: str, **arguments: Any) -> None:
        """Run a command of JupyterLab."""
        self.page.evaluate(
            "([name, options]) => { window.jupyterapp.commands.execute(name, options) }",
            [command, arguments],
        )

    def photograph(self) -> None:
        """A picture of all cells, in both themes."""
        for theme in ("Light", "Dark"):
            self.execute("apputils:change-theme", theme=f"JupyterLab {theme}")
            self.page.wait_for_timeout(1500)
            box = self.page.locator(".jp-NotebookPanel-notebook").bounding_box()
            last = self.page.locator(".jp-Notebook .jp-Cell").last.bounding_box()
            box["height"] = min(HEIGHT - box["y"], last["y"] + last["height"] + 20 - box["y"])
            path = self._folder / f"{self._name}-{theme.lower()}.png"
            self.page.screenshot(path=path, clip=box)

    def texts(self, selector: str) -> list[str]:
        """The text of all elements of our outputs that match."""
        return list(self.page.locator(f".jp-OutputArea .jitml {selector}").all_inner_texts())

    def check(self) -> None:
        """No error, on the console or in a cell; nothing from elsewhere."""
        assert self.problems == []
        assert self.page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
        assert elsewhere(self.requests) == []


def elsewhere(urls: list[str]) -> list[str]:
    """Those that leave this machine."""
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    return [url for url in urls if not url.startswith(local)]


def test_what_leaves_this_machine_is_seen() -> None:
    urls = ["https://example.org/x.js", "http://127.0.0.1.example.org/", "file:///etc/passwd"]
    assert elsewhere([*urls, "http://127.0.0.1:8888/lab", "data:image/png;base64,xx"]) == urls


ALL_DONE = """() => {
  const widget = window.jupyterapp.shell.currentWidget;
  const cells = [...widget.content.model.cells].filter(cell => cell.type === 'code');
  const idle = widget.sessionContext.session.kernel.status === 'idle';
  return idle && cells.every(cell => !cell.sharedModel.source || cell.executionCount);
}"""

ARRAYS = [
    "import jitml, jitml.numpy as jnp\n%load_ext jitml",
    "jnp.arange(6.0).reshape(2, 3)",
    "x = jitml.random.normal(jitml.random.key(0), (200, 300)); x.at[3, :5].set(jnp.nan)",
    "jnp.clip(jnp.stack([abs(x[:96, :128])] * 3, axis=-1) / 3, 0, 1)",
    "jnp.arange(10**5) % 7",
    "jitml.display.tree({'w': [x, x[0]], 'b': {'deep': jnp.zeros(3)}, 'name': '<script>'})",
    "f = jitml.jit(lambda x: jnp.tanh(x).sum())\nf(x), f(x[0])\nf",
    "%jit_explain f(x)",
    "run = jitml.live(range(300))\nfor n in run:\n    y = (x * n).sum()\n    run(loss=1 / (n + 1))",
]


def notebook(cells: list[str]) -> dict[str, Any]:
    """A notebook of code cells."""
    made = [
        {"cell_type": "code", "execution_count": None, "id": f"c{n}", "metadata": {}, "outputs": [],
         "source": source}
        for n, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def test_arrays_functions_and_trees(browser: Any, server: str, artefacts: Path) -> None:
    page = Page(browser, server, "arrays", artefacts)
    page.photograph()
    page.check()
    titles = page.texts(".title")
    assert [
        t for t in ("float32[2,3]", "float32[96,128,3]", "jitted") if t not in str(titles)
    ] == []
    assert page.texts(".bad") == ["5"]
    images = page.page.locator(".jp-OutputArea .jitml img")
    assert images.count() == 3
    assert images.evaluate_all("all => all.every(image => image.naturalWidth > 0)")
    assert page.page.locator(".jp-OutputArea .jitml svg rect").count() > 50
    outline = page.page.locator(".jitml details:has(summary:has-text('3 arrays'))").first
    assert "float32[200,300]" in outline.inner_text()
    outline.locator("summary").first.click()
    assert outline.evaluate("element => !element.open")
    assert any("step 300/300, done" in text for text in page.texts("div"))
    graphs = page.page.locator(".jitml pre").all_text_contents()
    assert any("= tanh %x" in text for text in graphs)
    assert "<b>loss</b>" in page.page.content()


def test_training(browser: Any, server: str, artefacts: Path) -> None:
    page = Page(browser, server, "02_training_digits", artefacts)
    page.photograph()
    page.check()
    assert any("550/550, done" in text for text in page.texts("div"))
    assert {"loss", "test_accuracy"} <= set(page.texts("b"))
    assert any("17,226 numbers" in text for text in page.texts("summary"))


def test_reports(browser: Any, server: str, artefacts: Path) -> None:
    """Reports, predicted memory, and an explanation in which a click marks what a line became."""
    page = Page(browser, server, "07_reading_performance", artefacts)
    lines = page.page.locator(".jitml pre >> text=products = a")
    lines.first.click()
    page.photograph()
    page.check()
    plan = page.page.locator(".jitml pre span", has_text="dot_general").last
    colour = plan.evaluate("element => getComputedStyle(element).backgroundColor")
    assert colour not in ("rgba(0, 0, 0, 0)", "transparent")
    headings = str(page.texts(".title"))
    for told in ("layer: ", " ms a call", "distances: ", " at most: ", "jitted score"):
        assert told in headings
    columns = set(page.texts("th"))
    assert {"compile ms", "wait ms"} <= columns
    assert {"ms", "GB/s", "of peak", "variables", "lines", "variable", "line"} <= columns
    assert "hidden" in str(page.texts("td"))
