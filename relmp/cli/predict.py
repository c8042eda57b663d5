"""The command ``relmp predict``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Predict:
    """Label images with a trained model: one line an image, with the probability of its class.

    Args:
        folder: Folder of the run.
        images: Image files, or folders of them.
        csv: Write a table to this new file instead of printing.
        device: cpu, cuda, ...; a GPU where there is one by default.
        trust: Import and call a message of your own that the folder names.
    """

    folder: tyro.conf.Positional[str]
    images: tyro.conf.Positional[tuple[str, ...]]
    csv: str | None = None
    device: str | None = None
    trust: bool = False

    def run(self) -> None:
        from relmp.files import write_csv
        from relmp.training import load_run

        if self.csv is not None and Path(self.csv).exists():
            raise ValueError(f"'{self.csv}' is already there; name a new file for --csv.")
        table = load_run(self.folder, device=self.device, trust=self.trust).predict_files(
            list(_files(self.images))
        )
        if self.csv is not None:
            write_csv(Path(self.csv), table)
            print(f"Labelled {len(table)} images in '{self.csv}'.")
            return
        width = max(map(len, table["label"]))
        for row in table.itertuples():
            print(f"{row.label:<{width}}  {row.probability:6.1%}  {row.file}")


def _files(paths: Sequence[str]) -> Iterator[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not paths:
        raise ValueError("No images were named; name files, or folders of them.")
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS)
        if not found:
            raise FileNotFoundError(
                f"There are no images in '{path}' ({', '.join(IMG_EXTENSIONS)})."
            )
        yield from found
