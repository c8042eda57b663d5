"""The command ``relmp runs``: what a sweep's folder holds, and what failed in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from relmp.sweep.jobs import Job


@dataclass(frozen=True)
class Status:
    """Count the runs that are done, running, failed and waiting; name those that failed.

    Args:
        folder: Folder of a sweep.
    """

    folder: tyro.conf.Positional[str]

    def run(self) -> None:
        """Print it."""
        from relmp.machine import text_of_seconds
        from relmp.sweep.jobs import label_of

        found = states(self.folder)
        counts = {kind: [j for j, k in found if k == kind] for kind in KINDS}
        print(", ".join(f"{len(jobs)} {kind}" for kind, jobs in counts.items()))
        done = [(job, job.records()) for job in counts["done"]]
        if done:
            best, records = min(done, key=lambda each: each[1][-1]["test_error"])
            print(f"lowest test error {records[-1]['test_error']:.2f} %: {label_of(best.run)}")
            seconds = sum(record["seconds"] for _, all_ in done for record in all_) / len(done)
            left = sum(len(counts[kind]) for kind in ("running", "waiting", "failed"))
            if left:
                print(f"about {text_of_seconds(left * seconds)} of work left, for one process")
        for job in counts["running"]:
            print(f"running: {label_of(job.run)}, epoch {job.epochs_done()}")
        for job in counts["failed"]:
            reason = (job.folder.failure() or "").strip().splitlines()[-1:]
            print(f"failed: {label_of(job.run)} ({job.folder.path.name}): {''.join(reason)}")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Train the runs that failed once more.

    Args:
        folder: Folder of a sweep.
        data_folder: Where the files of its data lie.
        device: cpu, cuda, ...; a GPU where there is one by default.
        workers: Processes; one a core on a CPU and one on a GPU by default.
        same_code: Go on although the code of your own message or model has changed; it does the
            same.
    """

    folder: tyro.conf.Positional[str]
    data_folder: str = "data"
    device: str | None = None
    workers: int | None = None
    same_code: bool = False

    def run(self) -> None:
        """Train them, and say what became of them."""
        from relmp.sweep import run_plan
        from relmp.sweep.store import RunStore

        failed = [job.run for job, kind in states(self.folder) if kind == "failed"]
        if not failed:
            print("No run has failed.")
            return
        run_plan(
            failed, self.folder, data_folder=self.data_folder, device=self.device,
            workers=self.workers, same_code=self.same_code,
            budget=RunStore(Path(self.folder)).budget(),
        )  # fmt: skip
        Status(self.folder).run()


@dataclass(frozen=True)
class Clean:
    """Remove what stopped and failed runs have left: half-written files, claims of processes that
    died, and folders of failed runs that have no checkpoint.

    Args:
        folder: Folder of a sweep.
        yes: Remove them; without it they are only named.
    """

    folder: tyro.conf.Positional[str]
    yes: bool = False

    def run(self) -> None:
        """Name what is in the way, and remove it if asked."""
        import shutil

        found = list(self._remains())
        for path, why in found:
            print(f"{'removed' if self.yes else 'to be removed'}: {path} ({why})")
            if self.yes and path.is_dir():
                shutil.rmtree(path)
            elif self.yes:
                path.unlink(missing_ok=True)
        if not found:
            print("Nothing is in the way.")
        elif not self.yes:
            print("Say --yes to remove them.")

    def _remains(self) -> Iterator[tuple[Path, str]]:
        from relmp.claim import CLAIM
        from relmp.files import PART
        from relmp.training.folder import CHECKPOINT, PREVIOUS

        for job, kind in states(self.folder):
            path = job.folder.path
            if kind == "running" or not path.is_dir():
                continue
            if kind == "failed" and not any((path / n).exists() for n in (CHECKPOINT, PREVIOUS)):
                yield path, "failed before its first checkpoint"
                continue
            for part in path.glob(f".*{PART}"):
                yield part, "half written"
            if (path / CLAIM).exists():
                yield path / CLAIM, "its process has died"


RunsCommand = (
    Annotated[Status, tyro.conf.subcommand("status")]
    | Annotated[Retry, tyro.conf.subcommand("retry")]
    | Annotated[Clean, tyro.conf.subcommand("clean")]
)
"""The subcommands of ``relmp runs``."""

Kind = Literal["done", "running", "failed", "waiting"]
KINDS: tuple[Kind, ...] = ("done", "running", "failed", "waiting")


def states(folder: str) -> list[tuple[Job, Kind]]:
    """Every run of a sweep, and how it stands.

    Raises:
        FileNotFoundError: If the folder holds no sweep.
    """
    from relmp.sweep.jobs import Job
    from relmp.sweep.store import RunStore

    store = RunStore(Path(folder))
    plan = store.plan()
    folders = store.folders(plan)
    found: list[tuple[Job, Kind]] = []
    for run in plan:
        job = Job(run, folders[run.key])
        kind: Kind = "waiting"
        if run.training.is_finished(job.records()):
            kind = "done"
        elif job.folder.is_locked():
            kind = "running"
        elif job.folder.failure() is not None:
            kind = "failed"
        found.append((job, kind))
    return found
