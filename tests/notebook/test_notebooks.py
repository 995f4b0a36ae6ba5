"""All notebooks run from top to bottom in a kernel, in time, and show figures.

Runs with JITML_NOTEBOOKS=1, where the extra `notebook` is installed; `.ci/run` does that.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from places import PACKAGES

jupyter_client = pytest.importorskip("jupyter_client", reason="Jupyter is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra `notebook` is not installed")
nbconvert = pytest.importorskip("nbconvert", reason="the extra `notebook` is not installed")
nbformat = pytest.importorskip("nbformat", reason="the extra `notebook` is not installed")
pytest.importorskip("ipykernel", reason="the extra `notebook` is not installed")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LONGEST_S = 180

pytestmark = [
    pytest.mark.skipif("JITML_NOTEBOOKS" not in os.environ, reason="JITML_NOTEBOOKS is not set"),
    pytest.mark.filterwarnings("default"),  # of Jupyter's own
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PACKAGES)
    notebook = nbformat.read(path, 4)
    begin = time.monotonic()
    folder = {"metadata": {"path": tmp_path}}
    client = nbclient.NotebookClient(notebook, timeout=LONGEST_S, resources=folder)
    client.execute()
    assert time.monotonic() - begin < LONGEST_S
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output.get("data", {}) for output in outputs]
    assert any("image/png" in data for data in shown)
    html = ["".join(data["text/html"]) for data in shown if "text/html" in data]
    assert all(len(text) < 200_000 for text in html)
    assert not any("http" in text or "<script" in text for text in html)
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert page.count('<div class="jitml">') == sum('class="jitml"' in text for text in html)
    fallbacks = [data["text/plain"] for data in shown if "text/html" in data]
    assert all(fallbacks)


def test_an_interrupted_loop_keeps_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stop button of a notebook does it."""
    monkeypatch.setenv("PYTHONPATH", PACKAGES)
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    try:
        loop = "for n in run:\n    run(loss=n)\n    time.sleep(0.01)"
        client.execute(f"import time, jitml\nrun = jitml.live(range(10**6))\n{loop}")
        drawn = 0
        while drawn < 2:  # it draws while it runs
            message = client.get_iopub_msg(timeout=60)
            drawn += message["msg_type"] == "update_display_data"
        manager.interrupt_kernel()
        while message["content"].get("execution_state") != "idle":
            message = client.get_iopub_msg(timeout=60)
        client.execute("print(len(run.history['loss']), run)")
        printed = ""
        while "stopped" not in printed:
            content = client.get_iopub_msg(timeout=60)["content"]
            printed += content.get("text", "") if content.get("name") == "stdout" else ""
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    count, line = printed.split(" ", 1)
    assert 20 < int(count) < 10**5
    assert line.startswith(f"step {int(count) - 1}/1000000, stopped · loss ")
