"""The playground: one HTML page in which a relational graph is drawn, played and trained."""

from relmp.playground.page import write_page
from relmp.playground.presets import Preset

__all__ = ["Preset", "write_page"]
