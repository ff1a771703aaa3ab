"""`import dbmigrate` in a process that has imported SQLAlchemy, and what it loads.

The byte code is compiled beforehand, as an installer does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, Final

from tests.benchmarks import common

TARGET = 20  # milliseconds

#: What an application that does not use it should not pay for.
WATCHED: Final = (
    *("asyncio", "argparse", "sqlite3", "psycopg", "psycopg2", "pymysql"),
    *("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql"),
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


def start(statement: str, cache: str) -> list[Any]:
    """Run one import in a new process: seconds on the clock, of CPU, new modules, old modules."""
    command = [sys.executable, "-c", _CHILD.format(statement)]
    # Byte code in a place of our own: it may not be writable, or not be wanted, beside the source.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    answer = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    result: list[Any] = json.loads(answer.stdout)
    return result


def watched(modules: list[str]) -> str:
    """Name those of the watched that are among the modules, or have a part among them."""
    found = [w for w in WATCHED if any(m == w or m.startswith(f"{w}.") for m in modules)]
    return ", ".join(found) or "none"


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.imports", __doc__)
    options.add_argument("--repetitions", type=int, default=15, help="turns")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbmigrate-") as cache:
        turns = {name: (lambda s=s: start(s, cache)) for name, s in CONTESTANTS.items()}
        common.take_turns(turns, 1)  # compiles what the others find compiled
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
