"""Every link inside the built site leads somewhere: ``python check_links.py SITE``.

Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors of a page, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_links(site: Path) -> list[str]:
    """One sentence for each link that leads nowhere."""
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            other = pages.get(target)
            anchor = unquote(parts.fragment)
            # The playground keeps its state behind the "#".
            lacking = other is not None and anchor and anchor not in other.anchors
            if not target.exists() or (lacking and target.name != "playground.html"):
                found.append(
                    f"{path.relative_to(site.resolve())} leads to '{link}', which is not there."
                )
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    broken = broken_links(folder)
    print("\n".join(broken), end="\n" if broken else "")
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    print(f"{len(files)} files, {size:.1f} MiB, {len(broken)} broken links in {folder}")
    sys.exit(bool(broken))
