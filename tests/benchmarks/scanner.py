"""Cutting 50 MB of SQL into 1,000,000 statements, and a quarter of that, for each grammar.

Three things are measured: cutting, which happens when a migration runs; the fingerprint; and
looking at a whole script, which is both together with what a statement does, for every script that
is pending. Time must grow with the text and no faster, even if all of it is on one line.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import make_url

from dbmigrate.dialects import dialect_for
from dbmigrate.scanner import statements
from dbmigrate.script import fingerprint, inspect
from tests.benchmarks import common

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigrate.dialects import Dialect

URLS: Final = {
    "sqlite": "sqlite://",
    "postgresql": "postgresql+psycopg://",
    "mysql": "mysql+pymysql://",
}

_LINES: Final = (
    "INSERT INTO t (id, a) VALUES ({}, 'it''s; here');\n",
    "UPDATE t SET a = 'x', b = b + 1 WHERE id = {};\n",
    'DELETE FROM t WHERE id = {} AND a <> "b"; -- why\n',
    "ALTER TABLE t ADD COLUMN column{} VARCHAR(50);\n",
    "INSERT INTO t VALUES ({}, NULL, 1.5e3, /* ; */ 'y');\n",
)


def script(count: int) -> str:
    """Make a script of so many statements, of 50 characters on average."""
    return "".join(_LINES[number % len(_LINES)].format(number) for number in range(count))


def one_line(count: int) -> str:
    """Make one of a single line."""
    return "".join(_LINES[0].format(number).replace("\n", " ") for number in range(count))


def cut(text: str, dialect: Dialect) -> int:
    """Count the statements."""
    return sum(1 for _ in statements(text, dialect.grammar))


def look(text: str, dialect: Dialect) -> int:
    """Count the statements as a plan does."""
    return inspect(text, dialect.grammar, dialect.traits, origin="large.sql").count


def mark(text: str, dialect: Dialect) -> int:
    """Take the fingerprint."""
    return len(fingerprint(text, dialect.grammar))


def seconds(call: Callable[[str, Dialect], int], text: str, dialect: Dialect) -> float:
    """Time a call, in CPU time."""
    clock = time.process_time()
    call(text, dialect)
    return time.process_time() - clock


def run(
    call: Callable[[str, Dialect], int],
    make: Callable[[int], str],
    count: int,
    dialect: Dialect,
    repetitions: int,
) -> list[str]:
    """Measure a call with a text and with a quarter of it; return columns of the table."""
    small, large = make(count // 4), make(count)
    turns = {
        "small": lambda: seconds(call, small, dialect),
        "large": lambda: seconds(call, large, dialect),
    }
    results = common.take_turns(turns, repetitions)
    speeds = [len(large) / 1e6 / second for second in results["large"]]
    return [
        f"{count}",
        f"{len(large) / 1e6:.0f}",
        common.spread(results["large"]),
        common.spread(speeds, digits=1),
        common.spread(common.ratios(results["large"], results["small"])),
    ]


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.scanner", __doc__)
    options.add_argument("--statements", type=int, default=1_000_000, help="in the larger script")
    options.add_argument("--repetitions", type=int, default=1, help="turns")
    chosen = options.parse_args()
    count = chosen.statements
    common.print_title(f"cutting {count} statements, {chosen.repetitions} turns")
    rows = []
    for name, url in URLS.items():
        dialect = dialect_for(make_url(url))
        assert cut(script(1000), dialect) == look(one_line(1000), dialect) == 1000
        for what, call, make, number in (
            ("cut", cut, script, count),
            ("cut one line", cut, one_line, count // 10),
            ("fingerprint", mark, script, count),
            ("look at", look, script, count),
        ):
            rows.append([name, what, *run(call, make, number, dialect, chosen.repetitions)])
    head = ["grammar", "what", "statements", "MB", "CPU s", "MB/s", "4n / n (linear: 4)"]
    common.print_table(head, rows)


if __name__ == "__main__":
    main()
