"""The notebooks of docs/notebooks run, each in a fresh kernel, and make the pictures they talk of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nbclient
import nbformat
import pytest
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_four() -> None:
    assert len(BOOKS) == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # of the kernel's tools
@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_notebook_runs(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell fails, and every cell that ends in a figure shows one. Nothing is kept in the file."""
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(book, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert "never for patient care" in notebook.cells[0].source
    config = Config(KernelManager={"transport": "ipc"})  # no port that anybody could listen at
    client = nbclient.NotebookClient(notebook, timeout=120, config=config)
    asyncio.run(client.async_execute())
    for cell in code:
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        assert ("image/png" in kinds) == cell.source.endswith("ax.figure")
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.outputs
