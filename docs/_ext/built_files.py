"""Files that the site carries beside its pages: the playground, and the lessons for a class.

The notebook for a class is the lesson's text without the cells tagged ``solution``, not executed.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from sphinx.application import Sphinx

from relmp.playground import write_page
from relmp.playground.presets import karate_club


def class_notebook(text: str, folder: Path) -> nbformat.NotebookNode:
    """A lesson as a class gets it."""
    notebook = read_myst_markdown_notebook(text)
    notebook.cells = [c for c in notebook.cells if "solution" not in c.metadata.get("tags", ())]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"

    def picture(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match[0]).read_bytes()).decode()
        return f"data:image/png;base64,{data}"

    for cell in notebook.cells:  # pages of the site are not beside a notebook
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[([^\]]+)\]\([^):]+\.md\)", r"\1", cell.source)
            cell.source = re.sub(r"(?<=\]\()[^):]+\.png(?=\))", picture, cell.source)
            cell.source = re.sub(r"\s*<a href[^>]*download>[^<]*</a>\.", "", cell.source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return notebook


def write_files(app: Sphinx) -> None:
    docs = Path(app.srcdir)
    extra = docs / "_build" / "extra"
    (extra / "notebooks").mkdir(parents=True, exist_ok=True)
    (extra / "playground.html").write_text(write_page([karate_club()]), encoding="utf-8")
    for lesson in sorted((docs / "lessons").glob("[0-9]*.md")):
        made = class_notebook(lesson.read_text(encoding="utf-8"), lesson.parent)
        nbformat.write(made, extra / "notebooks" / f"{lesson.stem}.ipynb")


def setup(app: Sphinx) -> dict[str, Any]:
    (Path(app.srcdir) / "_build" / "extra").mkdir(parents=True, exist_ok=True)
    app.connect("builder-inited", write_files)
    return {"parallel_read_safe": True}
