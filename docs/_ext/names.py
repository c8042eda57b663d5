"""Names in signatures and docstrings: those of relmp lead to their page.

Docstrings write ``:class:`RelationalGraph```, annotations ``RelationalGraph``; both mean what relmp
exports by that name. An annotation that has no page here (torch, NumPy) is plain text; a role in a
docstring or page that leads nowhere is a warning.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ELSEWHERE = ("collections.abc.", "networkx.", "numpy.", "torch.", "torch_geometric.")


def find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    if node.get("refdomain") != "py":
        return None
    objects = env.domains.python_domain.objects
    target = str(node["reftarget"]).removeprefix("~")
    last = target.rpartition(".")[2]
    full = f"relmp.{target.removeprefix('relmp.')}"
    if "." not in target or target.startswith("relmp.") or full in objects:
        homes = [name for name in objects if name.rpartition(".")[2] == last]
        named = (name for name in (full, f"relmp.{last}") if name in objects)
        exported = next(named, next(iter(homes), None))
        if exported is not None:
            entry = objects[exported]
            page = app.builder.get_relative_uri(node["refdoc"], entry.docname)
            return nodes.reference("", "", content, internal=True, refuri=f"{page}#{entry.node_id}")
    # Roles say whether they warn; annotations do not.
    return None if "refwarn" in node and not target.startswith(ELSEWHERE) else content


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True}
