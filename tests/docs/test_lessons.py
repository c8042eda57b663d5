"""Lessons say what to run first, hide their solutions from a class, and check exercises."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

from relmp.lessons import _NameTold, begin, check

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "docs" / "lessons").glob("[0-9]*.md"))
CELL = re.compile(r"^```\{code-cell\} python\n((?::.*\n)*)(.*?)^```", re.DOTALL | re.MULTILINE)


def cells(text: str) -> list[tuple[str, str, str]]:
    """Section, options and code of every cell."""
    found, section = [], ""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    for title, body in zip(["", *parts[1::2]], parts[::2], strict=True):
        section = title
        found += [(section, options, code) for options, code in CELL.findall(body)]
    return found


def names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell makes, and those that it reads."""
    tree = ast.parse(code)
    made, read = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (made if isinstance(node.ctx, ast.Store) else read).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return made, read


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_cell_says_where_what_it_needs_is_made(lesson: Path) -> None:
    """Names that a cell takes from another section are named in ``begin``, with that section."""
    every = cells(lesson.read_text())
    call = re.search(r"begin\((.*?)^\)", every[0][2], re.DOTALL | re.MULTILINE)
    assert call is not None
    told = dict(re.findall(r'(\w+)="(.+?)"', call[1]))
    first, _ = names(every[0][2])
    for section, title in told.items():
        makers = {at for at, _, code in every[1:] if section in names(code)[0]}
        assert title in makers, f"begin() says that {section} is made in '{title}'"
    for section, _, code in every[1:]:
        here = set().union(*(names(c)[0] for at, _, c in every if at == section))
        made, read = names(code)
        elsewhere = read - made - here - first - set(dir(builtins))
        assert elsewhere <= told.keys(), f"'{section}' needs {elsewhere - told.keys()}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_asks_and_checks(lesson: Path) -> None:
    text = lesson.read_text()
    assert text.count("<details><summary>Question") >= 2
    assert text.count("</details>") == text.count("<details>")
    solutions = [code for _, options, code in cells(text) if "solution" in options]
    assert len(solutions) == 1
    assert "check({" in text
    assert "# your code" in text
    assert f"../notebooks/{lesson.stem}.ipynb" in text


def test_check_says_what_is_not_right_yet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RELMP_LESSON", raising=False)
    check({"one is one.": lambda: True, "two is three.": lambda: 2 == 3, "no.": lambda: False})
    assert capsys.readouterr().out == "1 of 3 right.\nNot yet: two is three.\n"
    check({"it raises.": lambda: 1 / 0})
    assert "Not yet: it raises. (ZeroDivisionError: division by zero)" in capsys.readouterr().out
    with pytest.raises(NameError, match="not_made"):
        check({"it is too early.": lambda: not_made})  # type: ignore[name-defined]  # noqa: F821
    monkeypatch.setenv("RELMP_LESSON", "full")
    with pytest.raises(AssertionError, match="two is three"):
        check({"two is three.": lambda: False})


def test_size_of_a_lesson(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RELMP_LESSON", raising=False)
    assert begin() is False
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RELMP_LESSON", "quick")
    assert begin() is True
    assert "small numbers" in capsys.readouterr().out


def test_a_name_that_is_not_made_yet() -> None:
    class Shell:
        def showtraceback(self, error: tuple[type, NameError, object], **more: object) -> None:
            self.shown = str(error[1])

    shell, told = Shell(), _NameTold({"table": "The sweep"})
    told(shell, NameError, NameError("name 'table' is not defined", name="table"), None)
    assert shell.shown == "'table' is made in the section \"The sweep\"; run its cells first."
    told(shell, NameError, NameError("name 'other' is not defined", name="other"), None)
    assert shell.shown == "name 'other' is not defined"
