"""Processes that do a task at a time; one that dies takes no other task with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from relmp.sweep.engines.event import Event, Work, reason_of

PRELOADED = "relmp.sweep.work"
POLL_SECONDS = 0.2


class StoppedError(BaseException):
    """The pool is to stop; raised in a task where it reports."""


def run_in_pool(
    workers: int,
    work: Work,
    tasks: Sequence[tuple[Any, ...]],
    *,
    needs_script: bool,
    ready: Callable[[], str | None],
    fork: bool = True,
) -> Iterator[Event]:
    """Do tasks in so many processes, and say what becomes of each.

    Where the caller stops (Ctrl-C, an exception), tasks in hand end where they next report.

    Args:
        workers: Number of processes.
        work: Does one task.
        tasks: The arguments of each.
        needs_script: Whether the processes import the script that started this one.
        ready: Called first in every process; says why it cannot work, or None.
        fork: Whether processes may be forked, which takes a moment where starting one from nothing
            takes seconds. Not for a GPU: a forked process cannot use what its parent has touched.

    Raises:
        RuntimeError: If the processes cannot work; nothing has been done then.
    """
    pool = _Pool(work, ready, needs_script, fork=fork)
    waiting = list(enumerate(tasks))[::-1]
    try:
        pool.add()
        pool.await_first()
        while waiting or pool.is_busy:
            while waiting and len(pool.workers) < min(workers, len(tasks)):
                if not pool.has_idle:
                    pool.add()
                yield pool.hand_out(*waiting.pop())
            while waiting and pool.has_idle:
                yield pool.hand_out(*waiting.pop())
            yield from pool.listen()
    finally:
        pool.stop()


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    task: int | None = None


class _Pool:
    def __init__(
        self, work: Work, ready: Callable[[], str | None], needs_script: bool, *, fork: bool
    ) -> None:
        # Forking after OpenMP has started kills the child. A forkserver has imported everything
        # and computed nothing, so it may be forked; elsewhere processes start from nothing.
        fork = fork and sys.platform == "linux"
        self.context: Any = multiprocessing.get_context("forkserver" if fork else "spawn")
        if fork:
            self.context.set_forkserver_preload([PRELOADED])
        self.setup = (work, ready, dict(os.environ))
        self.needs_script = needs_script
        self.workers: list[_Worker] = []

    @property
    def is_busy(self) -> bool:
        return any(worker.task is not None for worker in self.workers)

    @property
    def has_idle(self) -> bool:
        return any(worker.task is None for worker in self.workers)

    def add(self) -> None:
        here, there = self.context.Pipe()
        process = self.context.Process(target=serve, args=(there, *self.setup), daemon=False)
        with _script_left_out(self.needs_script):
            process.start()
        there.close()
        self.workers.append(_Worker(process, here))

    def await_first(self) -> None:
        worker = self.workers[0]
        try:
            refusal = worker.pipe.recv()
        except EOFError:
            worker.process.join()
            refusal = _ending(worker.process.exitcode)
        if refusal is not None:
            raise RuntimeError(refusal)

    def hand_out(self, number: int, arguments: tuple[Any, ...]) -> Event:
        worker = next(worker for worker in self.workers if worker.task is None)
        worker.task = number
        # One that has died meanwhile is found dead by `listen`, and the task with it.
        _send(worker.pipe, (number, arguments))
        return Event(number, "started")

    def listen(self) -> Iterator[Event]:
        by_pipe: dict[Any, _Worker] = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(by_pipe), POLL_SECONDS):
            worker = by_pipe[pipe]
            try:
                found = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._bury(worker)
                continue
            if isinstance(found, Event):  # else it is ready: the first one has said that all are
                if found.kind != "progress":
                    worker.task = None
                yield found

    def _bury(self, worker: _Worker) -> Iterator[Event]:
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        if worker.task is not None:
            reason = _ending(worker.process.exitcode)
            yield Event(worker.task, "failed", reason, reason)

    def stop(self) -> None:
        for worker in self.workers:
            _send(worker.pipe, None)
        try:
            for worker in self.workers:
                while worker.process.is_alive():
                    if worker.pipe.poll(POLL_SECONDS):
                        try:  # what it still says is not to fill the pipe
                            worker.pipe.recv()
                        except (EOFError, OSError):
                            worker.process.join()
        except BaseException:  # a second Ctrl-C
            for worker in self.workers:
                worker.process.terminate()
            raise
        finally:
            for worker in self.workers:
                worker.pipe.close()
            self.workers.clear()


def serve(
    pipe: Connection, work: Work, ready: Callable[[], str | None], environment: dict[str, str]
) -> None:
    """What a process of the pool does: tasks, until it is told to stop."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe.send(ready())
    while (given := _received(pipe)) is not None:
        number, arguments = given

        def report(number: int = number) -> None:
            pipe.send(Event(number, "progress"))
            if pipe.poll():  # nothing comes while a task is in hand but the word to stop
                raise StoppedError

        try:
            work(report, *arguments)
            said = Event(number, "done")
        except StoppedError:
            return
        except BlockingIOError:
            said = Event(number, "busy")
        except BaseException as error:
            said = Event(number, "failed", reason_of(error), traceback.format_exc())
        pipe.send(said)


def _received(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def _send(pipe: Connection, value: Any) -> None:
    with suppress(OSError):
        pipe.send(value)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"Its process was killed by signal {-code}, as where memory has run out."
    return f"Its process ended with exit code {code}."


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _script_left_out(needed: bool) -> Iterator[None]:
    """Keep the processes that start meanwhile from running the user's script again.

    They import the script that started them. They need it only for what is defined in it;
    otherwise the script may train and plot at its top level.
    """
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {
        name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)
    }
    if not needed or not Path(kept.get("__file__") or "").is_file():  # "<stdin>" is no file
        main.__spec__ = None
        vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(kept)
