"""A suite of database tests by the plugin of pytest, against one that migrates before each test.

Both are runs of pytest with the same tests, each of which inserts a row into two tables and reads it. One takes
`migrated_engine`; the other has a fixture that creates a database, calls `upgrade()` and drops it. The time is that of
the whole run, start-up included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.benchmarks import common, history

if TYPE_CHECKING:
    from sqlalchemy import URL

_ROOT = Path(__file__).parent.parent.parent
_CONFTEST = """
    import os, uuid
    from pathlib import Path
    import pytest
    from sqlalchemy import create_engine, make_url
    from dbmigrate import Migrator, database

    MIGRATIONS = Path(__file__).parent / "migrations"

    @pytest.fixture(scope="session")
    def dbmigrate_migrator():
        return Migrator(os.environ["DATABASE_URL"], MIGRATIONS)

    @pytest.fixture
    def each(tmp_path):
        url = make_url(os.environ["DATABASE_URL"])
        name = f"bench_{uuid.uuid4().hex}"
        url = url.set(database=str(tmp_path / name) if url.host is None and not url.query else name)
        database.create(url)
        Migrator(url, MIGRATIONS).upgrade()
        engine = create_engine(url)
        yield engine
        engine.dispose()
        database.drop(url, force=True)
    """
_TESTS = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.parametrize("number", range({tests}))
    def test_rows({fixture}, number):
        with {fixture}.begin() as connection:
            for table in ("t00001", "t00002"):
                connection.execute(text(f"INSERT INTO {{table}} (id, name) VALUES (:n, 'x')"), {{"n": number}})
                assert connection.execute(text(f"SELECT id FROM {{table}}")).scalars().all() == [number]
    """


def write(folder: Path, migrations: int, tests: int) -> None:
    """Write the project: migrations, and the same tests over either fixture."""
    (folder / "migrations").mkdir()
    history.write_schema(folder / "migrations", migrations, "pairs")
    (folder / "conftest.py").write_text(dedent(_CONFTEST))
    for fixture in ("migrated_engine", "each"):
        (folder / f"test_{fixture}.py").write_text(dedent(_TESTS.format(fixture=fixture, tests=tests)))


def run(folder: Path, url: URL, tests: int, fixture: str) -> float:
    """Run the tests over a fixture; return the seconds that it took."""
    given = os.environ | {"PYTHONPATH": str(_ROOT), "DATABASE_URL": url.render_as_string(hide_password=False)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_dbmigrate", "-p", "no:cacheprovider"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, f"test_{fixture}.py"], cwd=folder, env=given, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    assert f"{tests} passed" in done.stdout, done.stdout
    return seconds


def main() -> None:
    """Measure, and print a table."""
    options = common.parser("tests.benchmarks.kit", __doc__)
    options.add_argument("--migrations", type=int, default=200, help="length of the history")
    options.add_argument("--tests", type=int, default=100, help="how many tests")
    options.add_argument("--repetitions", type=int, default=3, help="turns")
    common.add_databases(options)
    chosen = options.parse_args()
    rows = list[list[str]]()
    versions = list[str]()
    for kind in chosen.databases:
        with tempfile.TemporaryDirectory(prefix="dbmigrate-") as name, common.open_place(kind) as place:
            write(Path(name), chosen.migrations, chosen.tests)
            with place.database("bench_kit") as url:
                one = partial(run, Path(name), url, chosen.tests)
                results = common.take_turns(
                    {
                        "each": partial(one, "each"),
                        "kit": partial(one, "migrated_engine"),
                    },
                    chosen.repetitions,
                )
            each, kit = results["each"], results["kit"]
            row = [place.versions[0], *(common.spread(times, digits=1) for times in (each, kit))]
            rows.append([*row, common.spread(common.ratios(each, kit), digits=1)])
            versions += place.versions
            print(*rows[-1], flush=True)
    common.print_title(
        f"{chosen.tests} tests, {chosen.migrations} migrations, {chosen.repetitions} turns, whole runs of pytest",
        *versions,
    )
    head = ["database", "migrating per test, s", "the plugin, s", "times as fast"]
    common.print_table(head, rows)


if __name__ == "__main__":
    main()
