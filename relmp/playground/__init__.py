"""The playground: one HTML page in which a relational graph is drawn, played and trained."""

from relmp.playground.page import Preset, write_page

__all__ = ["Preset", "write_page"]
