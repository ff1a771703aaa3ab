"""What README and examples say is so."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import dbmigrate
from dbmigrate import Migrator
from tests.checkers import ROOT, check

README = (ROOT / "README.md").read_text()
QUICKSTART = ROOT / "examples" / "quickstart"
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
#: What is put into a file, or raises, is said in a comment in front of a block: `file: NAME`, `raises: ERROR`.
_BLOCK = re.compile(r"(?:<!-- (file|raises): (\S+) -->\n)?```(\w+)\n(.*?)```\n", re.DOTALL)


class Block(NamedTuple):
    """One block of code of the README."""

    #: "file", "raises" or nothing, and what of.
    mark: str
    name: str
    language: str
    text: str


#: The blocks that are run one after the other; before them stand the first example and the commands of a newcomer.
TOUR = [
    Block(*found)
    for found in _BLOCK.findall(README.split("## The first migration")[1].split("## What is guaranteed")[0])
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the quickstart's migrations in it."""
    shutil.copytree(QUICKSTART / "migrations", tmp_path / "migrations")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_example_solves_the_problem_in_five_lines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first block of the README runs as it stands."""
    assert len([line for line in BLOCKS[0].splitlines() if line]) <= 5

    exec(compile(BLOCKS[0], "README", "exec"), {})  # noqa: S102 - our own README

    assert capsys.readouterr().out.splitlines() == [
        "applied 20261123101500_add_users",
        "applied 20261123102000_add_email",
        "applied 20261123104000_add_notes",
    ]


def _write(block: Block, folder: Path, name: str) -> Path:
    path = folder / (block.name if block.mark == "file" else name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
    return path


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom in one folder: files are written, Python is run, and so are the commands."""
    monkeypatch.chdir(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for number, block in enumerate(TOUR):
        if block.mark == "file":
            _write(block, tmp_path, block.name)
        elif block.language == "python":
            code = compile(block.text, f"README block {number}", "exec")
            if block.mark == "raises":
                with pytest.raises(getattr(dbmigrate, block.name)):
                    exec(code, {})  # noqa: S102 - our own README
            else:
                exec(code, {})  # noqa: S102
        elif block.language == "sh" and (shutil.which("sqlite3") or "sqlite3 " not in block.text):
            subprocess.run(["bash", "-ec", block.text], check=True, env={**os.environ, "PATH": path})

    assert "applied    20261123101500_add_users" in capsys.readouterr().out
    assert Migrator("sqlite:///app.db").status().is_current
    assert Migrator("sqlite:///orders.db", "shop/migrations").status().is_current
    assert Migrator("sqlite:///zipped.db", "shop/migrations").status().is_current
    if shutil.which("sqlite3"):
        applied = Migrator("sqlite:///reviewed.db").status().applied
        assert [entry.name for entry in applied] == ["add_users", "add_email"]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_block_type_checks(request: pytest.FixtureRequest, checker: str, tmp_path: Path) -> None:
    """A program that is written from the README alone is clean under strict type checkers."""
    files = [_write(b, tmp_path, f"block_{n}.py") for n, b in enumerate(TOUR) if b.language == "python"]
    names = [str(file.relative_to(tmp_path)) for file in files if file.parent != tmp_path / "migrations"]
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    arguments = {"mypy": ["--strict", *names], "pyright": ["--pythonpath", sys.executable]}[checker]

    check(request, tmp_path, checker, *arguments, own=files)


def test_every_call_is_in_the_table() -> None:
    """And every error, every finding and every event is named."""
    text = README.split("## Calls")[1]
    calls = [name for name, member in vars(Migrator).items() if inspect.isfunction(member) and name[0] != "_"]
    kinds = (dbmigrate.MigrationError, dbmigrate.Finding)
    classes = [value for value in vars(dbmigrate).values() if isinstance(value, type) and issubclass(value, kinds)]

    assert [name for name in calls if f"| `{name}(" not in text] == []
    assert [kind.__name__ for kind in classes if f"`{kind.__name__}`" not in text] == ["Finding"]


def test_every_guarantee_names_a_test_that_there_is() -> None:
    """The tests that the README names exist under those names."""
    named = re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", README.split("## What is guaranteed")[1].split("##")[0])
    file = ""
    found = 0
    for name, test in named:
        file = name or file
        text = (ROOT / "tests" / file).read_text()
        assert not test or f"def {test}(" in text, f"{file}::{test}"
        found += 1

    assert found >= 12


def test_the_quickstart_does_nothing_the_second_time(tmp_path: Path) -> None:
    """It prints what was applied and the status, and the second time that there is nothing to do."""
    copy = shutil.copytree(QUICKSTART, tmp_path / "quickstart", ignore=shutil.ignore_patterns("app.db*"))
    outputs = [
        subprocess.run(
            [sys.executable, copy / "app.py"], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for _ in range(2)
    ]

    assert [line.split(" in ")[0] for line in outputs[0][:3]] == [
        "applied 20261123101500_add_users",
        "applied 20261123102000_add_email",
        "applied 20261123104000_add_notes",
    ]
    assert outputs[1][0] == "nothing to do"
    assert outputs[0][3:] == outputs[1][1:]
    assert [line.split()[0] for line in outputs[1][1:]] == ["applied"] * 3
