"""The table of the faults in the README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.tally import BEGIN, END, README

if TYPE_CHECKING:
    import pytest


def test_the_table_has_every_fault(request: pytest.FixtureRequest) -> None:
    """What is injected stands in it, and nothing that is not; nothing was lost by one."""
    table = README.read_text().split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    named = {row[0] for row in rows[2:-1]}
    marks = [item.get_closest_marker("fault") for item in request.session.items]
    injected = {mark.args[0] for mark in marks if mark is not None}
    files = {Path(item.path) for item in request.session.items}

    assert injected <= named
    if files >= set(Path(__file__).parent.glob("test_*.py")):
        databases = request.config.getoption("--databases")
        assert named == injected or databases != "sqlite,postgresql,mariadb"
    assert {row[-1] for row in rows[2:]} == {"nothing"}
