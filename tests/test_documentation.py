"""The documentation runs: README, pages, notebooks, the examples in docstrings.

The Python of a page runs in order, and a block of text after it is what it printed;
`--update-golden` writes what has changed into the page.

A notebook's cells run in order. Where it is stored with outputs, what they print is what is stored,
the places of cells aside (Jupyter names them otherwise) and except for cells with the tag `varies`;
`--update-golden` writes what has changed into the notebook, figures are stored by Jupyter alone.
Of the others two run here, all in tests/notebook.
The examples of `jitml.numpy`, `lax`, `nn` and `random` run in test_docs.py.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib.util
import inspect
import io
import json
import pkgutil
import re
import shlex
import types
from pathlib import Path
from typing import Any

import pytest

import jitml
from jitml.__main__ import main
from jitml.ir.op import Op

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
QUICK = ["05_add_an_op", "06_write_a_pass"]
PACKAGES = ("jitml.numpy", "jitml.lax", "jitml.nn", "jitml.random")
ELSEWHERE = (*PACKAGES, "jitml.checkpoints")
SMALL = "as_jax config dlpack dtypes errors optim sharding tree tree_util"
PUBLIC = ["jitml", "jitml_runtime", *PACKAGES, *(f"jitml.{name}" for name in SMALL.split())]


def run_source(source: str, path: Path, names: dict[str, Any]) -> str:
    """What source prints, the value of a last expression (unless a `;` ends it) included."""
    path.write_text(source, "utf-8")  # so that errors and `explain` find the lines
    tree, last = ast.parse(source), None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = tree.body.pop().value
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, path, "exec", dont_inherit=True), names)
        if last is not None:
            value = eval(compile(ast.Expression(last), path, "eval", dont_inherit=True), names)
            if value is not None:
                print(repr(value))
    return printed.getvalue()


# ---- README ------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_in_the_readme(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_source(blocks("python")[number], tmp_path / "model.py", {"__name__": "__main__"})


def test_commands_in_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands of `python -m jitml`, where the first example is saved as model.py."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(blocks("python")[0], "utf-8")
    commands = re.findall(r"^    python -m jitml (.*)$", README, re.MULTILINE)
    assert {command.split()[0] for command in commands} == {"cache", "explain", "ops"}
    for command in commands:
        assert main(shlex.split(command, comments=True)) == 0
        least = 3 if command.startswith("cache") else 50
        assert len(capsys.readouterr().out.splitlines()) > least


def test_places_in_the_readme_exist() -> None:
    named = re.findall(r"`((?:jitml|runtime|tests|benchmarks|notebooks)/[^`<* ]*)`", README)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_variables_in_the_readme_are_read() -> None:
    named = set(re.findall(r"`(JITML_[A-Z_]+)", README))
    code = [p.read_text("utf-8") for d in ("jitml", "runtime") for p in (ROOT / d).rglob("*.py")]
    read = {name for text in code for name in re.findall(r"JITML_[A-Z_]+", text)}
    assert named
    assert named == read


# ---- pages ------------------------------------------------------------

PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))
_BLOCK = re.compile(r"^```python\n(.*?)^```$(\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    text = path.read_text("utf-8")
    count = iter(range(len(text)))

    def with_output(block: re.Match[str]) -> str:
        printed = run_source(block[1], tmp_path / f"{path.stem}_{next(count)}.py", names)
        stored = f"\n\n```text\n{printed}```" if block[2] else ""
        return f"```python\n{block[1]}```{stored}"

    now = _BLOCK.sub(with_output, text)
    assert next(count) >= 1
    if update_golden:
        path.write_text(now, "utf-8")
    else:
        assert now == text


def test_links_between_pages_lead_somewhere() -> None:
    made = set(reference_pages())
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
            assert target in made or (path.parent / target).exists()
        for name in re.findall(r"`notebooks/([\w.]+)`", path.read_text("utf-8")):
            assert (ROOT / "notebooks" / name).exists()


def reference_pages() -> dict[str, str]:
    location = ROOT / "docs" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference_of_docs", location)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


def test_every_public_name_is_in_the_reference() -> None:
    pages = reference_pages()
    assert {f"reference/{n}.md" for n in jitml._MODULES - {"scipy"}} <= set(pages)
    for name in PUBLIC:
        if name == "jitml_runtime":
            continue
        module = importlib.import_module(name)
        page = pages[f"reference/{name.removeprefix('jitml.')}.md"]
        values = {n: getattr(module, n) for n in getattr(module, "__all__", ())}
        wanted = {n for n, v in values.items() if not isinstance(v, types.ModuleType)}
        assert set(re.findall(r"^## (\S+)$", page, re.MULTILINE)) >= wanted


# ---- notebooks ------------------------------------------------------------


def stored_text(cell: dict[str, Any]) -> str:
    """What a code cell printed when it was saved, and the value that it showed."""
    texts = []
    for output in cell["outputs"]:
        assert output["output_type"] != "error"
        if output["output_type"] == "execute_result":
            texts.append(as_text(output["data"]["text/plain"]) + "\n")
        elif output["output_type"] == "stream":
            assert output["name"] == "stdout"
            texts.append(as_text(output["text"]))
    return "".join(texts)


def as_text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def without_places(text: str) -> str:
    return re.sub(r"\b\w+\.py:(?=\d)", "cell:", text)


def replace_text(cell: dict[str, Any], text: str) -> None:
    kept = [x for x in cell["outputs"] if x["output_type"] == "display_data"]
    stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
    cell["outputs"] = [stream, *kept] if text else kept


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", QUICK)
def test_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(Op, "registry", dict(Op.registry))  # ops that it adds are its own
    names: dict[str, Any] = {"__name__": "__main__"}
    path = next(path for path in NOTEBOOKS if path.stem == name)
    for number, cell in enumerate(code_cells(path)):
        run_source(as_text(cell["source"]), tmp_path / f"cell_{number}.py", names)
    plt = importlib.import_module("matplotlib.pyplot")
    assert plt.get_fignums()
    plt.close("all")


STORED = [path for path in NOTEBOOKS if any(cell["outputs"] for cell in code_cells(path))]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_notebook(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text("utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    stale = []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        printed = run_source(as_text(cell["source"]), tmp_path / f"cell_{number}.py", names)
        same = without_places(printed) == without_places(stored_text(cell))
        if not same and "varies" not in cell["metadata"].get("tags", ()):
            stale.append(
                f"cell {number} printed\n{printed}\nwhere this is stored\n{stored_text(cell)}"
            )
            replace_text(cell, printed)
    if stale and update_golden:
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", "utf-8")
    elif stale:
        pytest.fail("\n".join(stale))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_well_formed(path: Path) -> None:
    text = path.read_text("utf-8")
    notebook = json.loads(text)
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[\w-]{1,64}", identifier) for identifier in identifiers)
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)
    assert len(text) < 400_000


# ---- docstrings ------------------------------------------------------------


def modules() -> list[str]:
    """All modules but those whose examples run elsewhere."""
    found = []
    for root in ("jitml", "jitml_runtime"):
        package = importlib.import_module(root)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, root + ".")]
    return [m for m in found if not m.startswith(ELSEWHERE) and not m.endswith("._core")]


def test_examples_in_docstrings() -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    finder, ran = doctest.DocTestFinder(exclude_empty=True), 0
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    for name in modules():
        module = importlib.import_module(name)
        source = inspect.getsource(module) if module.__doc__ else ""
        for test in finder.find(module, name):
            if test.examples and test.examples[0].source.splitlines()[0] in source:
                ran += 1  # an example that is elsewhere is of a method put there by others
                runner.run(test, out=report.write)
    assert report.getvalue() == ""
    assert ran > 20


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == name]
    values = {n: getattr(module, n) for n in getattr(module, "__all__", own) if n[0] != "_"}
    kinds = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)
    documented = {n: v for n, v in values.items() if issubclass(type(v), kinds)}  # no alias
    assert documented
    assert [n for n, v in documented.items() if not v.__doc__] == []
