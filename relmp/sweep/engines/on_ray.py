"""Tasks on a Ray cluster whose machines share a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from relmp.sweep.engines.event import Event, Work, reason_of

POLL_SECONDS = 1.0
LOST_NODES = 5
"""So often a task whose machine was lost is tried again on another one."""

Steps = Callable[[int], int]
"""How many steps a task has done so far, read from the shared folder."""


def run_on_ray(
    workers: int | None,
    work: Work,
    tasks: Sequence[tuple[Any, ...]],
    *,
    ready: Callable[[], str | None],
    steps: Steps,
    gpus: float = 0.0,
) -> Iterator[Event]:
    """Do tasks on the cluster of ``RAY_ADDRESS``, or on this machine where there is none.

    A task takes one core. One whose machine is lost is done again on another; runs go on from
    their last checkpoint. Where the caller stops, tasks in hand are ended.

    Args:
        workers: How many tasks are in hand at a time; as many as the cluster has cores (or GPUs) by
            default, also when machines come or go.
        work: Does one task.
        tasks: The arguments of each.
        ready: Called before every task; says why the machine cannot work, or None.
        steps: Tells how far a task is.
        gpus: GPUs that a task takes; a share below 1 puts several on one.

    Raises:
        ValueError: If Ray is not installed.
        RuntimeError: If the cluster cannot be reached, or goes away.
    """
    with _cluster() as ray:
        options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": LOST_NODES}
        remote = ray.remote(**options)(_do)
        waiting = list(range(len(tasks)))[::-1]
        in_hand: dict[Any, int] = {}
        shown: dict[int, int] = {}
        environment = {name: value for name, value in os.environ.items() if name[:5] == "RELMP"}
        try:
            while waiting or in_hand:
                room = workers or max(1, _places(ray, gpus))
                while waiting and len(in_hand) < room:
                    number = waiting.pop()
                    reference = remote.remote(work, ready, environment, tasks[number])
                    in_hand[reference], shown[number] = number, steps(number)
                    yield Event(number, "started")
                finished, _ = ray.wait(list(in_hand), timeout=POLL_SECONDS)
                for number in in_hand.values():
                    done = steps(number)
                    for _ in range(done - shown[number]):
                        yield Event(number, "progress")
                    shown[number] = max(done, shown[number])
                for reference in finished:
                    yield _ending(ray, reference, in_hand.pop(reference))
                _require(ray)
        finally:
            for reference in in_hand:
                ray.cancel(reference, force=True)


def _do(
    work: Work,
    ready: Callable[[], str | None],
    environment: dict[str, str],
    arguments: tuple[Any, ...],
) -> tuple[str, str, str]:
    """One task, on a machine of the cluster: the kind, reason and details of its event."""
    import traceback

    os.environ.update(environment)
    refusal = ready()
    if refusal is not None:
        return "failed", refusal, refusal
    try:
        work(lambda: None, *arguments)
    except BlockingIOError:
        return "busy", "", ""
    except BaseException as error:  # the cluster has no need of our exceptions
        return "failed", reason_of(error), traceback.format_exc()
    return "done", "", ""


def _ending(ray: Any, reference: Any, number: int) -> Event:
    try:
        kind, reason, details = ray.get(reference)
    except ray.exceptions.RayError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Event(number, "failed", f"The cluster lost the task: {first}", str(error))
    return Event(number, kind, reason, details)


def _places(ray: Any, gpus: float) -> int:
    there = ray.cluster_resources()
    return int(there.get("GPU", 0) / gpus) if gpus else int(there.get("CPU", 1))


def _require(ray: Any) -> None:
    if not ray.is_initialized():
        raise RuntimeError(
            "The Ray cluster has gone away; finished runs are kept, and the same call goes on."
        )


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected; disconnected again where it was not connected before."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "engine='ray' needs Ray, which is not installed: pip install 'relmp[ray]'."
        ) from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise RuntimeError(f"The Ray cluster cannot be reached: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()
