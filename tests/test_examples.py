"""The notebooks run as they are, and the figures that they show are right."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import sys
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
FOLDERS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "IPYTHONDIR",
    "MPLCONFIGDIR",
    "TMPDIR",
)


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder in which a kernel of this Python, with these packages, runs and writes."""
    for name in os.environ:
        if name.startswith(("JUPYTER", "IPYTHON", "MPL")):
            monkeypatch.delenv(name)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return tmp_path


def executed(name: str, folder: pathlib.Path, asked: str) -> tuple[nbformat.NotebookNode, Any]:
    """Runs a notebook; returns it, and the value of an expression in its namespace afterwards."""
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    question = nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({asked}))")
    notebook.cells.append(question)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    answer = notebook.cells[-1].outputs[0].text
    return notebook, json.loads(answer)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path: pathlib.Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


@pytest.mark.slow
def test_keras(folder: pathlib.Path) -> None:
    asked = "[measured, evaluated, histories, difference]"
    notebook, (measured, evaluated, histories, difference) = executed("keras.ipynb", folder, asked)
    for name in ("TAFE", "MMOE"):
        exact = measured[name]
        assert exact["rows"] == 20_000
        for step, gap in (("ctr", 0.02), ("ctcvr", 0.02), ("cvr", 0.05)):
            best = exact[f"truth_auc_best/{step}"]
            assert 0.65 < best - gap < exact[f"truth_auc/{step}"] < best
            assert evaluated[name][f"auc/{step}"] == pytest.approx(exact[f"auc/{step}"], abs=1e-3)
            assert exact[f"truth_ratio/{step}"] == pytest.approx(1, abs=0.1)
        assert histories[name]["loss"][-1] < histories[name]["loss"][0]
    assert difference == 0
    outputs = []
    for cell in notebook.cells[:-1]:
        outputs += cell.get("outputs", [])
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_dataframe(folder: pathlib.Path) -> None:
    asked = (
        "[len(answer['ctr']), run.metrics['auc/ctr'], float(np.corrcoef(best['ctr'], good)[0, 1])]"
    )
    notebook, (rows, auc, correlation) = executed("dataframe.ipynb", folder, asked)
    assert len(notebook.cells) == 10 + 1
    assert rows == 3
    assert auc > 0.75
    assert correlation > 0.9  # the items that are in truth the better ones come first
    assert "what to show user u7 first" in notebook.cells[-2].outputs[0].text


@pytest.mark.slow
def test_delay_buckets(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels as they stand lack purchases, and the more the longer the window."""
    path = EXAMPLES / "delay_buckets.py"
    spec = importlib.util.spec_from_file_location("delay_buckets", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.run(tmp_path, rows=60_000)
    naive = {step: quotients[0] for step, quotients in found.items()}
    assert naive["buy_30d"] < 0.95
    for step, (_, mature) in found.items():
        assert mature == pytest.approx(1.0, abs=0.06), step
    assert "validation rows that know it" in capsys.readouterr().out
