"""The plugin of pytest, in runs of its own: alone, with workers, killed, beside each other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest

from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

pytestmark = pytest.mark.usefixtures("kit_alone")

ROOT: Final = Path(__file__).parent.parent
#: Each run of the migrations leaves a line in the file `ran`.
FILES: Final = {
    "migrations/1_users.up.sql": "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(50));\n"
    "INSERT INTO users VALUES (1, 'Ada');\n",
    "migrations/1_users.down.sql": "DROP TABLE users;\n",
    "migrations/2_ran.py": """
        import os
        from pathlib import Path
        transaction = True
        def upgrade(connection):
            with (Path(__file__).parent.parent / "ran").open("a") as file:
                file.write(f"{os.getpid()}\\n")
        def downgrade(connection):
            pass
        """,
    "conftest.py": """
        import os
        from pathlib import Path
        import pytest
        from dbmigrate import Migrator
        @pytest.fixture(scope="session")
        def dbmigrate_migrator():
            return Migrator(os.environ["DATABASE_URL"], Path(__file__).parent / "migrations")
        """,
}
#: Tests that find what they may find only in a fresh copy, and leave something behind.
USERS: Final = """
    import pytest
    from sqlalchemy import inspect, text
    @pytest.mark.parametrize("number", range(6))
    def test_users(migrated_engine, number):
        with migrated_engine.begin() as connection:
            assert connection.execute(text("SELECT name FROM users")).scalars().all() == ["Ada"]
            connection.execute(text("INSERT INTO users VALUES (7, 'Bob')"))
        assert "more" not in inspect(migrated_engine).get_table_names()
        with migrated_engine.begin() as connection:
            connection.execute(text("CREATE TABLE more (x INTEGER)"))
    """


@dataclass
class Project:
    """A folder with migrations and tests, on the server of a database."""

    folder: Path
    database: Database
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, **files: str) -> None:
        """Write files, those of tests by the name without its end."""
        for name, text in (FILES | {f"test_{name}.py": text for name, text in files.items()}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        """Start pytest."""
        url = self.database.url.set(database="shop").render_as_string(hide_password=False)
        known = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        base = ["--basetemp", str(self.folder.parent / f"temporary{len(self.processes)}"), "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "pytest_dbmigrate", *base, "-q", "-rfE", *options],
            cwd=self.folder,
            env=known | {"PYTHONPATH": str(ROOT), "DATABASE_URL": url} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self, *options: str, **variables: str) -> str:
        """Run pytest; return what it counted, and behind it all that it said."""
        said, _ = self.start(*options, **variables).communicate(timeout=PATIENCE * 4)
        found = re.findall(r"^(?:\d+ \w+(?:, )?)+(?= in )", said, re.MULTILINE)
        return f"{found[-1] if found else '?'}\n{said}"

    def left(self) -> list[str]:
        """Return the databases that the kit has left on the server."""
        if self.database.kind == "sqlite":
            return []
        sql = {
            "postgresql": "SELECT datname FROM pg_database WHERE datname LIKE %s",
            "mariadb": "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s",
        }[self.database.kind]
        return sorted(name for (name,) in self.database.query(sql, r"dbmigrate\_kit\_%"))

    def ran(self) -> int:
        """Return how often the migrations ran."""
        return len((self.folder / "ran").read_text().splitlines())

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a run, with its workers."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Iterator[Project]:
    """A project whose runs are ended, and whose databases are dropped."""
    found = Project(tmp_path / "project", database)
    yield found
    for process in found.processes:
        if process.poll() is None:
            found.kill(process)
    for name in found.left():
        force = " WITH (FORCE)" if database.kind == "postgresql" else ""
        database.execute(f"DROP DATABASE IF EXISTS {name}{force}")


def until(condition: object, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there."""
    assert isinstance(condition, Path)
    deadline = time.monotonic() + PATIENCE
    while not condition.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_each_test_has_a_fresh_copy(project: Project, options: tuple[str, ...]) -> None:
    """The migrations run once for all workers, and nothing is left."""
    project.write(users=USERS)

    said = project.run(*options)

    assert said.startswith("6 passed\n"), said
    assert project.ran() == 1
    assert project.left() == []


MESS: Final = """
    import pytest
    from sqlalchemy import create_engine, text
    kept = []
    def test_idle_session(migrated_engine):
        kept.append(migrated_engine.connect())
        kept[-1].execute(text("SELECT * FROM users"))
    def test_open_transaction(migrated_url):
        kept.append(create_engine(migrated_url).connect())
        kept[-1].execute(text("DELETE FROM users"))
    def test_failure(migrated_engine):
        with migrated_engine.begin() as connection:
            connection.execute(text("DROP TABLE users"))
        raise ValueError("as it must")
    def test_after_all(migrated_engine):
        with migrated_engine.begin() as connection:
            assert connection.execute(text("SELECT name FROM users")).scalars().all() == ["Ada"]
        kept.append(migrated_engine.connect())
        kept[-1].execute(text("DELETE FROM users"))
    """


def test_what_tests_leave_is_no_obstacle(project: Project) -> None:
    """Idle sessions, open transactions, failures: the next test finds none of it, and all is dropped at the end."""
    project.write(mess=MESS)

    said = project.run()

    assert said.startswith("1 failed, 3 passed\n"), said
    assert "ValueError: as it must" in said
    assert project.left() == []


HANG: Final = """
    import time
    from pathlib import Path
    from sqlalchemy import text
    def test_hang(migrated_engine):
        with migrated_engine.connect() as connection:
            connection.execute(text("DELETE FROM users"))
            Path("hanging").touch()
            while not Path("go on").exists():
                time.sleep(0.02)
            connection.rollback()
            assert connection.execute(text("SELECT name FROM users")).scalars().all() == ["Ada"]
    def test_behind(migrated_engine):
        with migrated_engine.connect() as connection:
            assert connection.execute(text("SELECT name FROM users")).scalars().all() == ["Ada"]
    """


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_a_killed_run_is_cleaned_up_by_the_next(project: Project, options: tuple[str, ...]) -> None:
    """Only what it made; names that are merely similar are kept."""
    project.write(hang=HANG)
    strangers = ["dbmigrate_kit_mine", f"dbmigrate_kit_{'0' * 12}_main_{'0' * 7}", "dbmigrate_kit"]
    if project.database.server:
        project.database.execute(*(f"CREATE DATABASE {name}" for name in strangers))
    try:
        first = project.start(*options)
        until(project.folder / "hanging", first)
        project.kill(first)
        if project.database.server:
            assert len(project.left()) >= 4
        (project.folder / "go on").touch()

        said = project.run(*options)

        assert said.startswith("2 passed\n"), said
        assert project.left() == (sorted(strangers[:2]) if project.database.server else [])
    finally:
        if project.database.server:
            project.database.execute(*(f"DROP DATABASE {name}" for name in strangers))


def test_runs_do_not_disturb_each_other(project: Project) -> None:
    """What a run has that still lives is not dropped by another one, which begins and ends meanwhile."""
    project.write(hang=HANG, users=USERS)
    first = project.start("test_hang.py")
    until(project.folder / "hanging", first)
    before = project.left()

    said = project.run("test_users.py", "-n", "2")
    assert said.startswith("6 passed\n"), said
    assert project.left() == before
    (project.folder / "go on").touch()

    said, _ = first.communicate(timeout=PATIENCE)
    assert "2 passed" in said
    assert project.left() == []


def test_a_worker_that_dies_disturbs_nobody(project: Project) -> None:
    """Its tests are the only ones that fail, and its database is dropped with the others."""
    die = (
        "    def test_die(migrated_engine):\n        import os, signal\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    project.write(users=USERS, die=die)

    said = project.run("-n", "2")

    assert said.startswith("1 failed, 6 passed\n"), said
    assert project.left() == []


def test_migrations_that_fail_fail_each_test(project: Project) -> None:
    """With their own error, without being tried anew each time; nothing is left."""
    project.write(users=USERS)
    path = project.folder / "migrations" / "2_ran.py"
    path.write_text(path.read_text().replace("def downgrade", "    raise ValueError('not today')\ndef downgrade"))

    said = project.run()

    assert said.startswith("6 errors\n"), said
    assert "MigrationFailed" in said
    assert "not today" in said
    assert project.ran() == 1
    assert project.left() == []


MIGRATION_TESTS: Final = """
    from dbmigrate.testing import MigrationTests
    class TestMigrations(MigrationTests): since, processes, known_doubts = "1", 3, ("2_ran",)
    """


@pytest.mark.kinds("sqlite", "mariadb")
def test_the_tests_of_migrations_in_one_line(project: Project) -> None:
    """They use the Migrator of the project, each with a database of its own."""
    project.write(migrations=MIGRATION_TESTS, users=USERS)

    said = project.run("-n", "2")

    assert said.startswith("11 passed, 1 skipped\n"), said
    assert project.left() == []


def test_tests_of_migrations_with_a_method_need_no_fixture(project: Project, tmp_path: Path) -> None:
    """Who says how to make a Migrator is not overruled."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    text = f"""
        from dbmigrate import MemorySource, Migrator, sql_migration
        from dbmigrate.testing import MigrationTests
        class TestMigrations(MigrationTests):
            def make(self):
                return Migrator({url!r}, MemorySource([sql_migration("1", "a", "CREATE TABLE a (x)", "DROP TABLE b")]))
        """
    project.write(migrations=text)

    said = project.run("-k", "reversible")

    assert said.startswith("1 failed"), said
    assert "no such table: b" in said


# SQLite is enough


@pytest.mark.kinds("sqlite")
def test_two_projects_in_one_run(project: Project) -> None:
    """The fixture can be overridden further down; each has its own template."""
    project.write(users=USERS)
    other = """
        import pytest
        from dbmigrate import MemorySource, Migrator, sql_migration
        @pytest.fixture(scope="session")
        def dbmigrate_migrator():
            source = MemorySource([sql_migration("1", "others", "CREATE TABLE others (x)")])
            return Migrator("sqlite:///shop", source)
        """
    test = """
        from sqlalchemy import inspect
        def test_others(migrated_engine):
            assert "others" in inspect(migrated_engine).get_table_names()
            assert "users" not in inspect(migrated_engine).get_table_names()
        """
    (project.folder / "others").mkdir()
    (project.folder / "others" / "conftest.py").write_text(dedent(other))
    (project.folder / "others" / "test_others.py").write_text(dedent(test))

    assert project.run("-p", "no:xdist").startswith("7 passed\n")
    assert project.run("-n", "2").startswith("7 passed\n")


@pytest.mark.kinds("sqlite")
@pytest.mark.parametrize(
    ("conftest", "said"),
    [
        ("", "override the fixture dbmigrate_migrator in your conftest.py"),
        ("return Migrator(create_engine('sqlite:///a'), 'migrations')", "give it a URL, not an Engine"),
        ("return Migrator('sqlite:///a', 'nowhere')", "nowhere"),
        ("return 'sqlite:///a'", "returns a Migrator, not a str"),
    ],
)
def test_a_wrong_fixture_says_what_to_do(project: Project, conftest: str, said: str) -> None:
    """Each test that asks for a database is an error, and the others pass."""
    project.write(users=USERS, other="    def test_other():\n        pass\n")
    head = "import pytest\nfrom sqlalchemy import create_engine\nfrom dbmigrate import Migrator\n"
    fixture = '@pytest.fixture(scope="session")\ndef dbmigrate_migrator():\n    ' + conftest
    (project.folder / "conftest.py").write_text(head + fixture if conftest else "")

    found = project.run()

    assert found.startswith("1 passed, 6 errors\n"), found
    assert said in found


@pytest.mark.kinds("sqlite")
def test_it_loads_nothing_before_it_is_used(project: Project) -> None:
    """Neither the library nor SQLAlchemy: pytest loads it in every run."""
    project.write(
        modules="""
            import sys
            def test_modules():
                assert "pytest_dbmigrate" in sys.modules
                assert [name for name in sys.modules if name.partition(".")[0] in ("dbmigrate", "sqlalchemy")] == []
            """
    )
    (project.folder / "conftest.py").write_text("")

    assert project.run().startswith("1 passed\n")
    code = "import pytest, sys; before = {*sys.modules}; import pytest_dbmigrate; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pytest_dbmigrate"]


def test_a_wheel_brings_it_along(tmp_path: Path) -> None:
    """With the entry by which pytest finds it; and nothing needs pytest."""
    code = f"import hatchling.build as backend; print(backend.build_wheel({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
        (entries,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))

    assert {"pytest_dbmigrate.py", "dbmigrate/py.typed", "dbmigrate/testing/kit.py"} <= names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"dbmigrate", "pytest_dbmigrate.py"}
    assert "[pytest11]\npytest_dbmigrate = pytest_dbmigrate\n" in entries
    assert "pytest" not in "".join(re.findall("Requires-Dist: .*", about))
