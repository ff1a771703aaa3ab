"""`import dbmigrate` in a process that has imported SQLAlchemy, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from tests.benchmarks import common

TARGET = 20  # milliseconds

#: What an application that does not use it should not pay for.
WATCHED: Final = (
    *("asyncio", "argparse", "sqlite3", "psycopg", "psycopg2", "pymysql", "sqlalchemy.dialects"),
    *("tomllib", "difflib", "importlib.resources", "getpass", "socket", "subprocess"),
)

_CHILD: Final = """
import json, sys, time
import sqlalchemy
known = set(sys.modules)
cpu, wall = time.process_time(), time.perf_counter()
{}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, sorted(set(sys.modules) - known), sorted(known)]))
"""

CONTESTANTS: Final = {
    "import dbmigrate": "import dbmigrate",
    # What many do anyway, for a sense of proportion.
    "import sqlalchemy.orm": "import sqlalchemy.orm",
    "import logging.config": "import logging.config",
}


def start(statement: str) -> list[Any]:
    """Run one import in a new process: seconds on the clock, of CPU, new modules, old modules."""
    command = [sys.executable, "-c", _CHILD.format(statement)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: list[Any] = json.loads(answer.stdout)
    return result


def watched(modules: list[str]) -> str:
    """Name those that are watched."""
    found = [name for name in modules for w in WATCHED if name == w or name.startswith(f"{w}.")]
    return ", ".join(found) or "none"


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.imports", __doc__)
    options.add_argument("--repetitions", type=int, default=15, help="turns")
    chosen = options.parse_args()
    for statement in CONTESTANTS.values():
        start(statement)  # so that all byte code is cached
    turns = {name: (lambda s=s: start(s)) for name, s in CONTESTANTS.items()}
    results = common.take_turns(turns, chosen.repetitions)
    common.print_title(f"import after `import sqlalchemy`, {chosen.repetitions} turns")
    rows = [
        [
            name,
            common.spread([wall for wall, _, _, _ in found], 1e-3, 1),
            common.spread([cpu for _, cpu, _, _ in found], 1e-3, 1),
            f"{len(found[0][2])}",
            f"< {TARGET}" if name == "import dbmigrate" else "",
        ]
        for name, found in results.items()
    ]
    common.print_table(["statement", "wall ms", "CPU ms", "new modules", "target"], rows)
    _, _, new, old = results["import dbmigrate"][0]
    theirs = [name for name in new if not name.startswith("dbmigrate")]
    print(f"\nloaded by dbmigrate, not its own: {', '.join(theirs) or 'none'}")
    print(f"of those watched: {watched(new)}")
    print(f"watched and loaded by SQLAlchemy already: {watched(old)}")


if __name__ == "__main__":
    main()
