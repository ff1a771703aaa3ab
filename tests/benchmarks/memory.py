"""The peak of memory when large files are applied to SQLite, few of them and many.

It must depend on the largest file, not on how many there are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.benchmarks import common

_MEGABYTE: Final = 1 << 20

#: The files' content; none of it makes the database larger.
CONTENT: Final = {
    "a comment": "-- " + "c" * _MEGABYTE + "\nUPDATE amounts SET id = id;\n",
    "one literal": f"UPDATE amounts SET id = length('{'s' * _MEGABYTE}');\n",
    "64 literals": f"UPDATE amounts SET id = length('{'s' * (_MEGABYTE // 64)}');\n" * 64,
}

_CHILD: Final = """
import json, resource, sys
from sqlalchemy import create_engine
from dbmigrate import Migrator
url, folder = sys.argv[1:]
engine = create_engine(url)
with engine.begin() as connection:
    connection.exec_driver_sql("CREATE TABLE amounts (id INTEGER)")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = Migrator(engine, folder).upgrade()
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
# Kilobytes, except on macOS.
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([len(report.outcomes), before * unit, after * unit]))
"""


def peak(content: str, count: int, *, with_down: bool) -> tuple[float, float]:
    """Apply so many files in a process of their own; return megabytes before and at the peak."""
    with tempfile.TemporaryDirectory(prefix="dbmigrate-") as name:
        folder = Path(name) / "migrations"
        folder.mkdir()
        # Links to one file, so that a thousand do not fill the disk.
        original = Path(name) / "original.sql"
        original.write_text(content)
        for number in range(1, count + 1):
            if with_down:
                (folder / f"{number:05}_large.up.sql").hardlink_to(original)
                (folder / f"{number:05}_large.down.sql").hardlink_to(original)
            else:
                (folder / f"{number:05}_large.sql").hardlink_to(original)
        command = [sys.executable, "-c", _CHILD, f"sqlite:///{name}/bench.db", str(folder)]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    applied, before, after = json.loads(answer.stdout)
    assert applied == count
    return before / _MEGABYTE, after / _MEGABYTE


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.memory", __doc__)
    options.add_argument("--few", type=int, default=10, help="number of files of 1 MB")
    options.add_argument("--many", type=int, default=1000, help="the other number")
    chosen = options.parse_args()
    common.print_title("peak memory in MB, applying files of 1 MB to SQLite")
    rows = []
    for with_down in (False, True):
        for what, content in CONTENT.items():
            before, few = peak(content, chosen.few, with_down=with_down)
            _, many = peak(content, chosen.many, with_down=with_down)
            numbers = [f"{before:.0f}", f"{few:.0f}", f"{many:.0f}", f"{many - few:+.0f}"]
            rows.append([what, "yes" if with_down else "no", *numbers])
    head = ["file", "with down file", "before", f"{chosen.few} files", f"{chosen.many} files"]
    common.print_table([*head, "difference"], rows)


if __name__ == "__main__":
    main()
