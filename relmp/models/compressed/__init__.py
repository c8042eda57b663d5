"""Models of frozen weights as small files: a seed, a bit for every score, and what was trained."""

from relmp.models.compressed.content import compressed_bytes
from relmp.models.compressed.file import load_compressed, save_compressed

__all__ = ["compressed_bytes", "load_compressed", "save_compressed"]
