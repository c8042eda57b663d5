"""The command line: ``relmp train | predict | export | sweep | runs | analyse | graphs |
bench | playground``.

A command is a frozen dataclass; its fields are the options. Heavy modules are imported when a
command runs, so that help and errors appear at once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import tyro

from relmp.cli.analyse import AnalyseCommand
from relmp.cli.bench import BenchCommand
from relmp.cli.export import Export
from relmp.cli.graphs import GraphsCommand
from relmp.cli.playground import PlaygroundCommand
from relmp.cli.predict import Predict
from relmp.cli.runs import RunsCommand
from relmp.cli.sweep import Sweep
from relmp.cli.train import Train
from relmp.machine import is_out_of_memory

Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[
        RunsCommand,
        tyro.conf.subcommand(
            "runs", description="Say how a sweep stands, train again what failed, or tidy up."
        ),
    ]
    | Annotated[AnalyseCommand, tyro.conf.subcommand("analyse")]
    | Annotated[
        GraphsCommand,
        tyro.conf.subcommand(
            "graphs", description="List, show, draw, measure and find graphs, or the design space."
        ),
    ]
    | Annotated[
        BenchCommand,
        tyro.conf.subcommand("bench", description="Time rounds and models on this machine."),
    ]
    | Annotated[PlaygroundCommand, tyro.conf.subcommand("playground")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake is one sentence and exit code 2."""
    if (sys.argv[1:] if arguments is None else list(arguments)) == ["--version"]:
        from relmp import __version__

        print(f"relmp {__version__}")
        return
    # An installed command does not look into the working folder, where a user's message lies.
    # It comes last, so that nothing in it takes the place of a library.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))

    def run() -> None:
        command: Any = tyro.cli(
            Command,
            prog="relmp",
            description="Neural networks as relational graphs whose nodes talk.",
            args=arguments,
        )
        command.run()

    run_reporting_errors(run)


class Experiment(Protocol):
    """A dataclass whose fields are the options of an experiment."""

    def run(self) -> None:
        """Do it."""


E = TypeVar("E", bound=Experiment)


def run_recipe(recipe: E, *, quick: E) -> None:
    """Run an experiment script: its options are those of the recipe, and ``--quick``.

    Args:
        recipe: The experiment: a :class:`Sweep`, or any dataclass with ``run()``.
        quick: The same, shrunk to seconds, to see that it works.
    """
    arguments = sys.argv[1:]
    chosen = quick if "--quick" in arguments else recipe
    rest = [argument for argument in arguments if argument != "--quick"]

    def run() -> None:
        tyro.cli(
            type(recipe), default=chosen, args=rest, description="With --quick: seconds, to try it."
        ).run()

    run_reporting_errors(run)


def run_reporting_errors(run: Callable[[], object]) -> None:
    """Call ``run``; print an expected error as one sentence and exit with 2, a warning as one."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"relmp: {_on_one_line(str(message))}\n"
    try:
        run()
    except (ValueError, OSError, NotImplementedError, FloatingPointError) as error:
        print(f"relmp: {_on_one_line(_sentence(error))}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(
            "relmp: there is not enough memory for this; take a smaller model, graph or batch, or "
            "fewer workers.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("relmp: stopped; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    finally:
        warnings.formatwarning = usual


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" '{error.filename}'" if error.filename else ""
        return f"cannot use{where}: {error.strerror.lower()}."
    text = str(error).strip() or type(error).__name__
    return text if text[-1] in ".?!" else f"{text}."


def _on_one_line(text: str) -> str:
    """A text in which what would end a line, or steer a terminal, is written out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


__all__ = ["Command", "Predict", "Sweep", "Train", "main", "run_recipe"]
