"""The comparison with other tools does what it says; how long anything takes is no matter here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import common, peers
from tests.benchmarks.contestants import CONTESTANTS, Address, HandWritten
from tests.benchmarks.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable
#: Migrations; the last two only insert a row.
COUNT, TABLES = 13, 11
README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def place(tmp_path: Path) -> common.Place:
    """Where SQLite files can be."""
    return common.Place("sqlite", (), tmp_path)


def catalogue_of_the_loop(place: common.Place, folder: str) -> list[tuple[object, ...]]:
    """What the history makes."""
    with place.database("expected") as url, closing(sqlite3.connect(str(url.database), isolation_level=None)) as db:
        assert Loop("sqlite", db).upgrade(folder) == COUNT
        return peers.catalogue("sqlite", url)


@pytest.mark.parametrize("name", CONTESTANTS)
def test_every_tool_makes_the_same_tables_and_removes_them(name: str, place: common.Place, tmp_path: Path) -> None:
    """From its own files, in processes of its own."""
    if peers.missing([name]):
        pytest.skip(f"{name} is not installed")
    folders = peers.write(tmp_path / "files", COUNT, sorted({"loop", name}), TABLES)
    contest = peers.Contest(peers.Runner(60.0), place, TABLES)
    contest.expected = catalogue_of_the_loop(place, folders["loop"])
    contest.looks = 1

    turn = contest.take_turn(name, folders[name])

    assert list(peers.ACTIONS) == [action for action, sample in turn.items() if sample is not None]


def test_a_tool_that_does_not_do_its_work_is_noticed(
    place: common.Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is measured of a call that applied nothing."""
    folders = peers.write(tmp_path / "files", COUNT, ["loop"])
    monkeypatch.setattr(peers.Runner, "call", lambda *_: peers.Sample(0.0, 0.0, 0.0))

    with pytest.raises(AssertionError, match="loop, apply: 0 tables"):
        peers.Contest(peers.Runner(60.0), place, TABLES).take_turn("loop", folders["loop"])


def test_a_call_is_stopped_at_the_limit(place: common.Place, tmp_path: Path) -> None:
    """The result says so, and the calls after it are left out."""
    folders = peers.write(tmp_path / "files", COUNT, ["loop"])
    contest = peers.Contest(peers.Runner(0.001), place, TABLES)

    turn = contest.take_turn("loop", folders["loop"])

    assert turn == {"apply": None}
    ours: peers.Turn = {action: peers.Sample(0.5, 0.25, 0.2) for action in peers.ACTIONS}
    lines = peers.summary("sqlite", [peers.Result(COUNT, {"dbmigrate": [ours], "loop": [turn]})], 300.0)
    assert [[cell.strip() for cell in line.split("|")[1:5]] for line in lines[2:]] == [
        ["import (CPU)", "", "200 ms", "not reached"],
        ["apply", "13", "500 ms / 250 ms", "> 300 s"],
        ["nothing pending", "13", "500 ms / 250 ms", "not reached"],
        ["revert", "13", "500 ms / 250 ms", "not reached"],
    ]


def test_the_command_replaces_its_tables_in_the_readme_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --write; what it writes it also prints."""

    def call(runner: peers.Runner, name: str, action: str, folder: str, where: Address) -> peers.Sample:
        # The loop in the place of all, and in this process, to be quick.
        loop = HandWritten(where, folder)
        act: Callable[[], None] = loop.revert if action == "revert" else loop.upgrade
        took = common.measure(act)
        return peers.Sample(took.wall, took.cpu, imported=0.25)

    monkeypatch.setattr(peers.Runner, "call", call)
    monkeypatch.setattr(peers.Runner, "compile", lambda *_: None)
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(README.read_text())

    peers.main(["--databases", "sqlite", "--tools", "loop", "--migrations", "1,2", "--turns", "1", "--write"])

    begin, end = "<!-- peers, sqlite: begin -->\n", "<!-- peers, sqlite: end -->\n"
    before, _, rest = README.read_text().partition(begin)
    now = (tmp_path / "README.md").read_text()
    written = now.removeprefix(before + begin).removesuffix(end + rest.partition(end)[2])
    assert written != now
    assert written in capsys.readouterr().out
    assert [
        [cell.strip() for cell in line.split("|")[1:3]] for line in written.splitlines() if line.startswith("| ")
    ] == [
        ["SQLite", "migrations"],
        ["import (CPU)", ""],
        ["apply", "1"],
        ["", "2"],
        ["nothing pending", "1"],
        ["", "2"],
        ["revert", "1"],
        ["", "2"],
    ]


def test_what_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is measured."""
    for arguments in (["--tools", "flyway"], ["--databases", "mariadb"]):
        with pytest.raises(SystemExit):
            peers.main(arguments)
        assert f"not known here: {arguments[1]}" in capsys.readouterr().err


def test_a_readme_without_the_marks_is_refused() -> None:
    """Rather than written to somewhere else."""
    with pytest.raises(ValueError, match="there is no <!-- peers, sqlite: begin -->"):
        peers.replaced("# dbmigrate\n", "sqlite", ["|"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00041, "0.410 ms"), (0.0123, "12.3 ms"), (0.5, "500 ms"), (2.0, "2.00 s"), (143.2, "143 s")],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    """And a unit that suits them."""
    assert text == peers.duration(seconds)
