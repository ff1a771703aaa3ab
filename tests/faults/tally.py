"""The tally of the faults: what was injected in a run, how often, and whether anything was lost by it.

    @pytest.mark.fault("kill -9 at a boundary of upgrade()")
    def test_killed(database: Database, injected: Injected) -> None: ...

A test counts as one injection, or says with `injected(40)` how many it made. What it says besides, as with
`injected(1, doubts=1, settled=1)`, is about statements that were in doubt afterwards: how many there were, how many the
catalogue settled, and how many of those wrongly. `pytest --write-faults` puts the table of a run into the README; other
runs leave it alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import pytest

README: Final = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->"
_KINDS: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
#: The name of a test's fault, and at its end how many it has injected.
NAME: Final = "fault-name"
KEY: Final = "fault"


class Injected(Protocol):
    """Says how many faults a test has injected."""

    def __call__(self, count: int, /, *, doubts: int = 0, settled: int = 0, wrongly: int = 0) -> None:
        """Count them, in addition to those before, and the statements that were in doubt after them."""


class Tally:
    """A plugin of pytest that adds up, in the process that controls the run."""

    def __init__(self) -> None:
        self.injected: Counter[tuple[str, str]] = Counter()
        self.lost: Counter[str] = Counter()
        self.skipped = set[str]()
        #: Statements that were in doubt, that were settled, and those of them that were settled wrongly.
        self.doubts = [0, 0, 0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a test says of itself, unless it was skipped; one that failed has lost something."""
        if report.when == "call" and report.skipped:
            self.skipped.add(report.nodeid)
        for key, value in report.user_properties:
            if key == KEY and report.when == "teardown" and report.nodeid not in self.skipped:
                fault, kind, count, *doubts = str(value).split("\t")
                self.injected[fault, kind] += int(count)
                self.doubts = [a + int(b) for a, b in zip(self.doubts, doubts, strict=True)]
            if key == NAME and report.failed:
                self.lost[str(value)] += 1

    def lines(self) -> list[str]:
        """Return the table as Markdown."""
        names = list(dict.fromkeys(fault for fault, _ in self.injected))
        rows = [
            "| fault | " + " | ".join(_KINDS.values()) + " | lost |",
            "| --- |" + " ---: |" * (len(_KINDS) + 1),
        ]
        for name in sorted(names):
            counts = [str(self.injected[name, kind] or "") for kind in _KINDS]
            rows.append(f"| {name} | {' | '.join(counts)} | {self.lost[name] or 'nothing'} |")
        totals = [str(sum(n for (_, k), n in self.injected.items() if k == kind)) for kind in _KINDS]
        rows.append(f"| all | {' | '.join(totals)} | {self.lost.total() or 'nothing'} |")
        return [*rows, "", self.settled()]

    def settled(self) -> str:
        """Return what became of the statements that were in doubt."""
        return (
            "Statements in doubt after a kill: {:,}; settled without a person, by what the catalogue says or because "
            "to run them again changes nothing: {:,}; wrongly: {:,}.".format(*self.doubts)
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print how many there were, and write the table if that was asked for."""
        if not self.injected:
            return
        total, lost = self.injected.total(), self.lost.total()
        terminalreporter.write_line(f"Faults injected: {total}; tests that lost something by one: {lost}")
        terminalreporter.write_line(self.settled())
        if config.getoption("--write-faults"):
            head, rest = README.read_text().split(BEGIN)
            table = "\n".join(self.lines())
            README.write_text(f"{head}{BEGIN}{table}\n{END}{rest.split(END, 1)[1]}")
