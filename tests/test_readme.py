"""What README and examples say is so."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbmigrate import MigrationError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
QUICKSTART = ROOT / "examples" / "quickstart"
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
#: Calls that have nothing to do on a database without trouble, and say so.
_REFUSED = ("baseline", "resume", "resolve", "apply")


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


def test_the_calls_of_the_readme_can_be_called(project: Path) -> None:
    """Every line of the other blocks runs, or is refused in the way that its comment leads one to expect."""
    for block in BLOCKS[1:]:
        names: dict[str, object] = {}
        for node in ast.parse(block).body:
            line = ast.unparse(node)
            try:
                exec(line, names)  # noqa: S102 - our own README
            except MigrationError:
                assert any(f".{name}(" in line for name in (*_REFUSED, "downgrade", "verify")), line
                if "downgrade" in line:
                    assert "no way back" in str(sys.exc_info()[1])


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
