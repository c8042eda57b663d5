"""Pages whose text is a file elsewhere in the repository: taken, not copied.

A page that holds the line ``% from: ../experiments/README.md`` (seen from ``docs/``) gets the text
of that file there; with ``% from: FILE ## Heading`` that section of it, and with ``% from: FILE #``
what stands before the first section, both without their heading. ``% help: train`` becomes what
``relmp train --help`` prints.
Relative links lead from the page to where they led from the file: to a page of the site where there
is one, otherwise to the file, which can be downloaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FROM = re.compile(r"^% from: (\S+)(?: (#|## .+))?$", re.MULTILINE)
HELP = re.compile(r"^% help: (\w+)$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")

PAGES = {
    "README.md": "index",
    "SECURITY.md": "design/trust",
    "experiments/README.md": "studies/index",
    "experiments/benchmarks/gpu.md": "studies/gpu",
    "experiments/benchmarks/population.md": "studies/population",
    "experiments/benchmarks/recurrent.md": "studies/recurrent",
    "experiments/benchmarks/resnet.md": "studies/resnet",
    "experiments/benchmarks/rewiring.md": "studies/rewiring_speed",
    "experiments/benchmarks/rounds.md": "studies/rounds",
    "experiments/benchmarks/step.md": "studies/step",
    "experiments/benchmarks/training.md": "studies/training",
}
"""Files that are read on the site on another page."""


def section_of(text: str, heading: str) -> str:
    """A section without its heading; of ``#``, what stands before the first one."""
    line = "# .*" if heading == "#" else re.escape(heading)
    start = re.search(f"^{line}\n", text, re.MULTILINE)
    if start is None:
        raise ValueError(f"There is no section '{heading}'.")
    return re.split(r"^## ", text[start.end() :], flags=re.MULTILINE)[0]


def relinked(text: str, file: Path, page: Path, root: Path) -> str:
    """The text with its relative links seen from a page."""

    def link(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        place, _, anchor = target.partition("#")
        if not place or ":" in place:
            return match[0]
        found = (file.parent / place).resolve()
        own = PAGES.get(str(found.relative_to(root)))
        if own is not None:
            found = root / "docs" / f"{own}.md"
        elif found.is_dir():
            return f"`{found.relative_to(root)}/`"
        where = os.path.relpath(found, page.parent) + (f"#{anchor}" if anchor else "")
        return f"{image}[{label}]({where})"

    return LINK.sub(link, text)


def help_of(match: re.Match[str]) -> str:
    """What a command says of itself."""
    command = [sys.executable, "-m", "relmp", match[1], "--help"]
    plain = {**os.environ, "COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb"}
    text = subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout
    return f"## relmp {match[1]}\n\n```text\n{text.strip()}\n```"


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    docs, page = Path(app.srcdir), Path(app.env.doc2path(docname))
    root = docs.resolve().parent

    def fill(match: re.Match[str]) -> str:
        file = (docs / match[1]).resolve()
        app.env.note_dependency(str(file))
        text = file.read_text(encoding="utf-8")
        return relinked(section_of(text, match[2]) if match[2] else text, file, page, root)

    content[0] = HELP.sub(help_of, FROM.sub(fill, content[0]))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True}
