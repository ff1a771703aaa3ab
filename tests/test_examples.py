"""The examples do what they say: as programs, and as parts that were copied."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
import venv
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
import yaml
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.exc import IntegrityError

from dbmigrate import MemorySource, MigrationFailed, Migrator, SourceError, StepStarted, sql_migration
from examples.archive_source.archive_source import ArchiveSource
from examples.fastapi_app import shop as fastapi_app
from examples.json_ledger.json_ledger import JsonLedger
from examples.opentelemetry.spans import traced
from examples.own_transaction import schemas, tenants
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from opentelemetry.sdk.trace import ReadableSpan

    from dbmigrate import Event
    from tests.conftest import Database

EXAMPLES = Path(__file__).parent.parent / "examples"
_TENANTS = [
    "refused globex: CHECK constraint failed: email LIKE '%@%'",
    "acme_history acme_history_journal acme_notes acme_users dbmigrate_ledger dbmigrate_ledger_journal tenants",
]
#: What each prints when it is run, and when it is run again.
PROGRAMS = {
    "archive_source": (["applied 1_users", "applied 2_email"], ["nothing to do"]),
    "json_ledger": (
        ["applied 1_users", "000001.json begin_up", "000002.json up"],
        ["nothing to do", "000001.json begin_up", "000002.json up"],
    ),
    "own_table_ledger": (["applied 1_users", "1 1 users"], ["nothing to do", "1 1 users"]),
    "own_transaction": (["created acme", *_TENANTS], _TENANTS),
    "opentelemetry": (["migration 1_users up statement statement", "migration 2_email up statement", "upgrade"],) * 2,
}
#: What has commands of its own below.
APPLICATIONS = {"crash_test", "fastapi_app", "flask_app", "kubernetes", "own_dialect", "packaged_app", "tested_shop"}
BIN = Path(sys.executable).parent


def test_all_examples_are_tried() -> None:
    """Each has a folder; the quickstart is tried with the README."""
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == {*PROGRAMS, *APPLICATIONS, "quickstart"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_by_its_command(tmp_path: Path, name: str) -> None:
    """The command that its README names, from a checkout."""
    copy = shutil.copytree(EXAMPLES / name, tmp_path / "examples" / name, ignore=shutil.ignore_patterns("app.db*"))
    command = re.search(r"^python (\S+)$", (copy / "README.md").read_text(), re.MULTILINE)
    assert command is not None

    for expected in PROGRAMS[name]:
        done = run(sys.executable, command[1], cwd=tmp_path)
        assert (0, expected) == (done.returncode, done.stdout.splitlines())


# The archive


def archive(path: Path, *members: tuple[str | ZipInfo, str | bytes]) -> ArchiveSource:
    """Write an archive, and return the source that reads it."""
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, text in members:
            file.writestr(name, text)
    return ArchiveSource(path)


def refused(source: ArchiveSource) -> list[str]:
    """Return what is wrong, without the path of the archive."""
    with pytest.raises(SourceError) as caught:
        source.load()
    return [f"{problem.origin.rpartition('.zip')[2]}: {problem.reason}" for problem in caught.value.problems]


def test_an_archive_is_read_in_order_of_its_numbers(sqlite: Database, tmp_path: Path) -> None:
    """Other files in it are passed over, and what ran can be taken back."""
    source = archive(
        tmp_path / "m.zip",
        ("10_b.up.sql", "ALTER TABLE a ADD COLUMN y"),
        ("README.md", "no"),
        ("2_a.up.sql", "\ufeffCREATE TABLE a (x)"),
        ("2_a.down.sql", "DROP TABLE a"),
        ("10_b.down.sql", "ALTER TABLE a DROP COLUMN y"),
    )
    migrator = Migrator(sqlite.url, source)

    assert [str(outcome.step) for outcome in migrator.upgrade().outcomes] == ["2_a up", "10_b up"]
    migrator.verify()
    assert [str(outcome.step) for outcome in migrator.downgrade(to="base").outcomes] == ["10_b down", "2_a down"]


def test_an_archive_tells_all_that_is_wrong(tmp_path: Path) -> None:
    """Names that lead elsewhere, links, bombs, what is not text: at once, and nothing is written anywhere."""
    link = ZipInfo("4_link.up.sql")
    link.external_attr = 0o120777 << 16
    source = archive(
        tmp_path / "m.zip",
        ("../1_out.up.sql", "SELECT 1"),
        ("/2_root.up.sql", "SELECT 1"),
        ("folder/3_in.up.sql", "SELECT 1"),
        (link, "/etc/passwd"),
        ("5_bomb.up.sql", " " * (1 << 20) + ";"),
        ("6_bytes.up.sql", b"\xff\xfe"),
        ("7_orphan.down.sql", "SELECT 1"),
        ("8_blank.up.sql", "-- nothing"),
    )

    found = refused(source)

    where = "call it <number>_<name>.up.sql or .down.sql, in no folder"
    assert found[:4] == [
        *(f"/{name}: {where}" for name in ("../1_out.up.sql", "/2_root.up.sql", "folder/3_in.up.sql")),
        "/4_link.up.sql: it is a symbolic link: put the file itself into the archive",
    ]
    assert found[4] == "/5_bomb.up.sql: cannot be read: more than 1048576 bytes when it is unpacked"
    assert found[5].startswith("/6_bytes.up.sql: cannot be read: 'utf-8' codec can't decode")
    assert found[6:] == [
        "/7_orphan.down.sql: a down script without its up script",
        "/8_blank.up.sql: there is no statement in it",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]


def test_an_archive_with_a_member_twice(tmp_path: Path) -> None:
    """A zip can have that, and which one counts depends on who reads it."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = archive(tmp_path / "m.zip", ("1_a.up.sql", "SELECT 1"), ("1_a.up.sql", "SELECT 2"))

    assert refused(source) == ["/1_a.up.sql: it is in the archive twice"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no", None])
def test_an_archive_that_is_none(tmp_path: Path, damage: bytes | None) -> None:
    """Or is not there, or ends too early."""
    source = ArchiveSource(tmp_path / "m.zip")
    if damage is not None:
        source.archive.write_bytes(damage)

    (found,) = refused(source)

    assert found.startswith(": cannot be read: ")


def test_an_archive_with_damage_inside(tmp_path: Path) -> None:
    """The sum of a member is checked when it is read."""
    source = archive(tmp_path / "m.zip", ("1_a.up.sql", "SELECT 'some text that is long enough to be compressed'"))
    data = bytearray(source.archive.read_bytes())
    data[50] ^= 0xFF
    source.archive.write_bytes(data)

    (found,) = refused(source)

    assert found.startswith("/1_a.up.sql: cannot be read: ")


def test_an_archive_that_is_replaced_meanwhile(sqlite: Database, tmp_path: Path) -> None:
    """What runs is what was looked at, or nothing."""
    source = archive(tmp_path / "m.zip", ("1_a.up.sql", "CREATE TABLE a (x)"))

    def replace(event: Event) -> None:
        if isinstance(event, StepStarted):
            archive(tmp_path / "m.zip", ("1_a.up.sql", "CREATE TABLE b (x)"))

    with pytest.raises(SourceError, match="the file changed while it was in use"):
        Migrator(sqlite.url, source, on_event=replace).upgrade()

    assert sqlite.tables() == ["dbmigrate_ledger", "dbmigrate_ledger_journal"]


# The ledger of files


def test_a_record_that_cannot_be_read_is_named(sqlite: Database, tmp_path: Path) -> None:
    """Nothing runs over a ledger that was damaged."""
    ledger = JsonLedger(tmp_path / "ledger")
    migrator = Migrator(sqlite.url, MemorySource([sql_migration("1", "a", "CREATE TABLE a (x)")]), ledger=ledger)
    migrator.upgrade()
    (ledger.folder / "000002.json").write_text("{")

    with pytest.raises(Exception, match=r"000002\.json is not a record of dbmigrate: JSONDecodeError"):
        migrator.upgrade()

    assert sorted(path.name for path in ledger.folder.iterdir()) == ["000001.json", "000002.json"]


# Spans


def exported(call: Callable[[Callable[[Event], None]], object]) -> list[ReadableSpan]:
    """Make a call with events turned into spans; return those that ended, in that order."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with traced(provider.get_tracer("test"), "call") as on_event:
        call(on_event)
    return list(exporter.get_finished_spans())


def test_spans_of_a_call(database: Database) -> None:
    """A span for the call, one in it for each step, and an event of that for each statement."""
    source = MemorySource(
        [
            sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)"),
            sql_migration("2", "b", "INSERT INTO a VALUES (2)"),
        ]
    )

    first, second, call = exported(lambda on_event: Migrator(database.url, source, on_event=on_event).upgrade())

    assert [span.name for span in (first, second, call)] == ["migration 1_a up", "migration 2_b up", "call"]
    assert call.context is not None
    assert {span.parent and span.parent.span_id for span in (first, second)} == {call.context.span_id}
    assert [event.name for event in first.events] == ["statement"] * 2
    assert [event.attributes and event.attributes["ordinal"] for event in first.events] == [1, 2]
    assert dict(second.attributes or {}) == {
        "dbmigrate.version": "2",
        "dbmigrate.name": "b",
        "dbmigrate.direction": "up",
        "dbmigrate.transactional": True,
        "dbmigrate.seq": second.attributes and second.attributes["dbmigrate.seq"],
    }
    assert [span.status.status_code.name for span in (first, second, call)] == ["OK", "OK", "UNSET"]


def test_spans_of_a_failure(sqlite: Database) -> None:
    """The step that failed and the call end with the error; the step before it is well."""
    source = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x)"), sql_migration("2", "b", "SELEC")])
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with pytest.raises(MigrationFailed), traced(provider.get_tracer("test"), "call") as on_event:
        Migrator(sqlite.url, source, on_event=on_event).upgrade()

    spans = exporter.get_finished_spans()
    assert [(span.name, span.status.status_code.name) for span in spans] == [
        ("migration 1_a up", "OK"),
        ("migration 2_b up", "ERROR"),
        ("call", "ERROR"),
    ]
    assert "2_b up: statement 1 failed" in (spans[1].status.description or "")
    assert [event.name for event in spans[1].events] == ["exception"]


def test_spans_of_steps_that_commit_together(sqlite: Database) -> None:
    """All of them are open until the one commit."""
    source = MemorySource(
        [sql_migration("1", "a", "CREATE TABLE a (x)"), sql_migration("2", "b", "CREATE TABLE b (x)")]
    )

    spans = exported(lambda on_event: Migrator(sqlite.url, source, transaction="all", on_event=on_event).upgrade())

    assert [span.name for span in spans] == ["migration 1_a up", "migration 2_b up", "call"]
    assert (spans[0].end_time or 0) > (spans[1].start_time or 0)


def test_waiting_is_an_event_of_the_call(postgresql: Database) -> None:
    """Who is in the way is said there."""
    source = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)")])
    spans: list[ReadableSpan] = []
    thread = threading.Thread(
        target=lambda: spans.extend(
            exported(lambda on_event: Migrator(postgresql.url, source, on_event=on_event).upgrade())
        )
    )

    def start(event: Event) -> None:
        if isinstance(event, StepStarted):
            thread.start()
            time.sleep(0.5)

    Migrator(postgresql.url, source, on_event=start).upgrade()
    thread.join()

    (call,) = spans
    assert [event.name for event in call.events] == ["waiting"]
    assert call.events[0].attributes is not None
    assert "process" in str(call.events[0].attributes["holder"])


# A transaction of the caller's


def test_a_tenant_comes_whole_or_not_at_all(sqlite: Database) -> None:
    """A migration that fails takes the row of the tenant back, and so does what the caller does behind them."""
    engine = sqlite.engine()
    tenants.upgrade(engine)
    tenants.create_tenant(engine, "acme", "ada@acme.example")
    sqlite.execute("CREATE TABLE globex_notes (x)")
    before = sqlite.dump()

    with pytest.raises(MigrationFailed, match="table globex_notes already exists"):
        tenants.create_tenant(engine, "globex", "grace@globex.example")
    with pytest.raises(IntegrityError, match="CHECK constraint failed"):
        tenants.create_tenant(engine, "initech", "nobody")
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        tenants.create_tenant(engine, "acme", "eve@acme.example")
    with pytest.raises(ValueError, match="cannot be the name of a tenant"):
        tenants.create_tenant(engine, "x_users (email); --", "eve@acme.example")

    assert before == sqlite.dump()
    assert [("ada@acme.example",)] == sqlite.query("SELECT email FROM acme_users")


def test_a_tenant_with_a_schema_of_its_own(postgresql: Database) -> None:
    """As a program: each schema has tables and a ledger, and of the tenant that failed there is nothing."""
    url = postgresql.url.render_as_string(hide_password=False)
    rest = [
        'refused globex: new row for relation "users" violates check constraint "users_email_check"',
        "acme: dbmigrate_ledger dbmigrate_ledger_journal notes users",
        "public: dbmigrate_ledger dbmigrate_ledger_journal tenants",
    ]
    for expected in (["created acme", *rest], rest):
        done = run(sys.executable, schemas.__file__, cwd=EXAMPLES, DATABASE_URL=url)
        assert (0, expected) == (done.returncode, done.stdout.splitlines())


def test_a_failure_leaves_no_schema(postgresql: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a tenant, whichever migration fails. A later release reaches every tenant once; the pool is as it was."""
    engine = postgresql.engine(pool_size=1)
    schemas.upgrade(engine)
    for tenant in ("acme", "globex"):
        schemas.create_tenant(engine, tenant, f"ada@{tenant}.example")
    before = postgresql.dump()
    release = shutil.copytree(schemas.HERE, tmp_path / "release")
    monkeypatch.setattr(schemas, "HERE", release)
    (release / "tenant" / "3_tags.sql").write_text("CREATE TABLE tags (name TEXT); SELECT nonsense;")

    with pytest.raises(MigrationFailed, match="nonsense"):
        schemas.create_tenant(engine, "initech", "ada@initech.example")
    assert before == postgresql.dump()

    (release / "tenant" / "3_tags.sql").write_text("CREATE TABLE tags (name TEXT);")
    with ThreadPoolExecutor() as pool:
        assert [None] * 4 == list(pool.map(schemas.upgrade, [engine] * 4))
    assert {"acme.tags", "globex.tags"} < set(postgresql.tables())
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'


# Servers


@contextmanager
def serving(*command: str | Path, cwd: Path, **environment: str) -> Generator[str]:
    """Run a server, give its address as soon as it listens, and end it."""
    with subprocess.Popen(
        command, cwd=cwd, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            said = ""
            while (found := re.search(r"http://127\.0\.0\.1:\d+", said)) is None:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield found[0]
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            guard.cancel()


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def ask(url: str, body: object = None) -> tuple[int, Any]:
    """Ask a server; return the status and the JSON of its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return answer.status, json.loads(answer.read() or "null")


def copied(name: str, tmp_path: Path) -> Path:
    """Return a copy of an example, without what it made."""
    return shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("app.db*", "__pycache__"))


# Kills and races


def test_the_crash_test_runs_as_it_is_copied(database: Database, tmp_path: Path) -> None:
    """By the command that its README names; on servers the race only, for kills take a while."""
    copy = copied("crash_test", tmp_path / "examples")
    command = re.search(r"^python (-m pytest \S+)$", (copy / "README.md").read_text(), re.MULTILINE)
    assert command is not None
    url = database.url.render_as_string(hide_password=False)

    words, variables = (["-k", "race"], {"DATABASE_URL": url}) if database.server else ([], {})
    done = run(sys.executable, *command[1].split(), "-q", "-s", *words, cwd=tmp_path, **variables)

    assert done.returncode == 0, done.stdout
    if not database.server:
        assert re.search("^[3-9][0-9] processes were killed, and 0 statements", done.stdout, re.MULTILINE), done.stdout


# A shop that is tested, and a dialect


def test_the_tests_of_a_shop_run_as_they_are_copied(sqlite: Database, tmp_path: Path) -> None:
    """By the command that its README names; the database that the URL names is not made."""
    copied("tested_shop", tmp_path / "examples")

    done = run(sys.executable, *pytest_of("tested_shop"), "-q", cwd=tmp_path, DATABASE_URL=str(sqlite.url))

    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout
    assert not Path(sqlite.name).exists()


@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.usefixtures("kit_alone")
def test_the_tests_of_a_shop_run_on_a_server(database: Database, tmp_path: Path) -> None:
    """By two workers, and without the kills, which take a while."""
    copied("tested_shop", tmp_path / "examples")
    url, options = database.url.render_as_string(hide_password=False), ("-q", "-n", "2", "-k", "not kill")

    done = run(sys.executable, *pytest_of("tested_shop"), *options, cwd=tmp_path, DATABASE_URL=url)

    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout
    assert database.tables() == []


def test_the_dialect_of_an_example_keeps_the_contract(postgresql: Database, tmp_path: Path) -> None:
    """By the command that its README names."""
    copied("own_dialect", tmp_path / "examples")
    url = postgresql.url.render_as_string(hide_password=False)

    done = run(sys.executable, *pytest_of("own_dialect"), "-q", cwd=tmp_path, DATABASE_URL=url)

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", ["own_table_ledger", "archive_source"])
def test_what_an_example_makes_keeps_its_contract(tmp_path: Path, name: str) -> None:
    """By the command that its README names."""
    copied(name, tmp_path / "examples")

    done = run(sys.executable, *pytest_of(name), "-q", cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


def pytest_of(name: str) -> list[str]:
    """Return the command of pytest that a README names, with the plugin."""
    command = re.search(r"python -m pytest (\S+)$", (EXAMPLES / name / "README.md").read_text(), re.MULTILINE)
    assert command is not None
    return ["-m", "pytest", "-p", "pytest_dbmigrate", "-p", "no:cacheprovider", command[1]]


# FastAPI


def test_a_pod_starts_only_when_the_database_is_current(postgresql: Database, tmp_path: Path) -> None:
    """It refuses while that is behind, and changes nothing. Development upgrades; then pods start, older ones too."""
    shop = copied("fastapi_app", tmp_path)
    command = BIN / "uvicorn", "--factory", "shop:create_app", "--port", "0"
    url = postgresql.url.render_as_string(hide_password=False)

    pod = run(*command, cwd=shop, DATABASE_URL=url)

    assert pod.returncode == 3
    assert "NotCurrent: the database is not current; pending (1): 20261123101500_notes" in pod.stderr
    assert postgresql.tables() == []
    with serving(*command, cwd=shop, DATABASE_URL=url, SHOP_ENV="development") as address:
        assert ask(f"{address}/notes", {"body": "first"}) == (201, None)
    with serving(*command, cwd=shop, DATABASE_URL=url) as address:
        assert ask(f"{address}/notes") == (200, ["first"])
    newer = shutil.copytree(shop / "migrations", tmp_path / "newer")
    (newer / "20261124000000_tags.sql").write_text("CREATE TABLE tags (name VARCHAR(99))")
    Migrator(url, newer).upgrade()
    with serving(*command, cwd=shop, DATABASE_URL=url) as address:  # a pod of the older release
        assert ask(f"{address}/notes") == (200, ["first"])


def test_the_event_loop_is_free_meanwhile(sqlite: Database) -> None:
    """While the upgrade waits for somebody else, other tasks go on."""
    url = sqlite.url.render_as_string(hide_password=False)
    app = fastapi_app.create_app(fastapi_app.Settings(url, upgrade=True))

    async def start() -> int:
        ticks = 0
        async with asyncio.TaskGroup() as group:
            with sqlite.connect() as other:
                other.execute("BEGIN IMMEDIATE")
                task = group.create_task(enter())
                while ticks < 20:
                    await asyncio.sleep(0.01)
                    ticks += 1
                assert not task.done()
                other.execute("ROLLBACK")
        return ticks

    async def enter() -> None:
        async with app.router.lifespan_context(app):
            assert "notes" in sqlite.tables()

    assert asyncio.run(start()) == 20


# Flask


def test_flask_serves_when_its_command_has_upgraded(sqlite: Database, tmp_path: Path) -> None:
    """Neither its own server nor another one starts before; the commands do."""
    shop = copied("flask_app", tmp_path)
    flask = BIN / "flask", "--app", "shop"
    production = sys.executable, "-c", "from shop import create_app; create_app()"
    url = sqlite.url.render_as_string(hide_password=False)

    for command in ((*flask, "run", "--port", "0"), production):
        done = run(*command, cwd=shop, DATABASE_URL=url)
        assert done.returncode == 1
        assert "NotCurrent: the database is not current; pending (1): 20261123101500_notes" in done.stderr
    assert "Apply every migration that is pending." in run(*flask, "--help", cwd=shop, DATABASE_URL=url).stdout
    assert sqlite.tables() == []
    for expected in ("applied 20261123101500_notes\n", "nothing to do\n"):
        done = run(*flask, "db-upgrade", cwd=shop, DATABASE_URL=url)
        assert (0, expected) == (done.returncode, done.stdout)
    assert run(*production, cwd=shop, DATABASE_URL=url).returncode == 0
    with serving(*flask, "run", "--port", "0", cwd=shop, DATABASE_URL=url) as address:
        assert ask(f"{address}/notes", {"body": "first"}) == (201, None)
        assert ask(f"{address}/notes") == (200, ["first"])


def test_a_failure_of_the_flask_command_is_a_message(sqlite: Database, tmp_path: Path) -> None:
    """It names the line, and there is no traceback; what was applied before it stays."""
    shop = copied("flask_app", tmp_path)
    (shop / "migrations" / "20261124000000_typo.sql").write_text("CREATE TABEL tags (name TEXT);")

    done = run(BIN / "flask", "--app", "shop", "db-upgrade", cwd=shop, DATABASE_URL=str(sqlite.url))

    assert done.returncode == 1
    assert "20261124000000_typo.sql:1:1: 20261124000000_typo up: statement 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert sqlite.tables() == ["dbmigrate_ledger", "dbmigrate_ledger_journal", "notes"]


# A package with its own release binary


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return wheels of dbmigrate and of the shop."""
    folder = tmp_path_factory.mktemp("wheels")
    shop = copied("packaged_app", folder)
    command = sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"
    subprocess.run([*command, "--wheel-dir", folder, EXAMPLES.parent, shop], check=True)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the commands of a new environment with both in it; what they depend on comes from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    command = sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-index"
    subprocess.run([*command, "--no-deps", *packages], check=True)
    return folder / "bin"


def test_a_package_has_its_own_release_binary(
    sqlite: Database, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its wheel, in an environment of its own: help without a database, what is pending, upgrade, and serving."""
    command, url = installed / "shop-migrate", sqlite.url.render_as_string(hide_password=False)

    monkeypatch.delenv("DATABASE_URL", raising=False)
    helped = run(command, "--help", cwd=tmp_path)
    assert (helped.returncode, helped.stdout.splitlines()[0][:20]) == (0, "usage: shop-migrate ")
    unset = run(command, "upgrade", cwd=tmp_path)
    assert (unset.returncode > 0, "DATABASE_URL" in unset.stderr) == (True, True)
    assert run(command, "verify", cwd=tmp_path, DATABASE_URL=url).returncode == 3
    assert run(command, "wait", "--timeout", "0.1", cwd=tmp_path, DATABASE_URL=url).returncode == 3
    refused = run(installed / "shop", cwd=tmp_path, DATABASE_URL=url)
    assert refused.returncode == 1
    assert "NotCurrent: the database is not current; pending (2)" in refused.stderr
    assert sqlite.tables() == []
    for applied in (["20261123101500", "20261123102000"], []):
        done = run(command, "upgrade", cwd=tmp_path, DATABASE_URL=url)
        assert (0, applied) == (done.returncode, re.findall(r"20261123\d{6}", done.stdout))
    status = run(command, "status", "--json", cwd=tmp_path, DATABASE_URL=url)
    assert (status.returncode, json.loads(status.stdout)["result"]["is_current"]) == (0, True)
    with serving(installed / "shop", cwd=tmp_path, DATABASE_URL=url, PORT="0") as address:
        assert ask(address) == (200, {"orders": 1})


def test_a_package_as_a_zipapp(sqlite: Database, packages: list[Path], installed: Path, tmp_path: Path) -> None:
    """By the commands of its README; a failure is a failure for who started it."""
    commands = re.findall(r"```sh\n(.*?)```", (EXAMPLES / "packaged_app" / "README.md").read_text(), re.DOTALL)[1]
    install, *rest = commands.splitlines()
    (wheel,) = (path for path in packages if path.name.startswith("shop"))
    assert install.endswith(" --target build .")
    run(sys.executable, "-m", *install.split()[:-1], "--no-index", wheel, cwd=tmp_path)

    made = run("bash", "-ec", "\n".join(rest[:-1]), cwd=tmp_path, PATH=f"{installed}{os.pathsep}{os.environ['PATH']}")
    assert made.returncode == 0, made.stderr
    shutil.rmtree(tmp_path / "build")
    command = installed / "python", *rest[-1].split()[1:-1]

    assert run(*command, "verify", cwd=tmp_path, DATABASE_URL=str(sqlite.url)).returncode == 3
    assert run(*command, "upgrade", cwd=tmp_path, DATABASE_URL=str(sqlite.url)).returncode == 0
    assert run(*command, "verify", cwd=tmp_path, DATABASE_URL=str(sqlite.url)).returncode == 0
    assert sqlite.tables() == ["dbmigrate_ledger", "dbmigrate_ledger_journal", "orders"]


# Kubernetes


def manifest(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is in a file, and the pod that it is about."""
    (loaded,) = yaml.safe_load_all((EXAMPLES / "kubernetes" / f"{name}.yaml").read_text())
    return loaded, loaded["spec"]["template"]["spec"]


def test_manifests_are_what_they_should_be() -> None:
    """A Job that is tried again, and a Deployment; confined, with the URL from a Secret, and of one release."""
    (job, jobs), (deployment, pods) = manifest("job"), manifest("deployment")
    containers = [*jobs["containers"], *pods["initContainers"], *pods["containers"]]

    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (job["spec"]["backoffLimit"] > 0, jobs["restartPolicy"]) == (True, "Never")
    spec = deployment["spec"]
    labels, selected = spec["template"]["metadata"]["labels"], spec["selector"]["matchLabels"]
    assert selected.items() <= labels.items()
    assert not selected.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["metadata"]["name"].endswith(labels["app.kubernetes.io/version"].replace(".", "-"))
    assert {container["image"] for container in containers} == {"registry.example.com/shop:1.0"}
    for pod in (jobs, pods):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
    for container in containers:
        assert [variable["name"] for variable in container["env"]] == ["DATABASE_URL"]
        assert "secretKeyRef" in container["env"][0]["valueFrom"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
    patience = int(pods["initContainers"][0]["command"][-1])
    assert spec["progressDeadlineSeconds"] > patience


def test_a_deployment(postgresql: Database, installed: Path, tmp_path: Path) -> None:
    """A pod waits, the job migrates, the pod serves. The next release has nothing pending, and waits for nothing."""
    (_, jobs), (_, pods) = manifest("job"), manifest("deployment")
    job, wait, shop = (
        [str(installed / container["command"][0]), *container["command"][1:]]
        for container in (jobs["containers"][0], pods["initContainers"][0], pods["containers"][0])
    )
    url = postgresql.url.render_as_string(hide_password=False)

    with subprocess.Popen(wait, cwd=tmp_path, env=os.environ | {"DATABASE_URL": url}) as waiting:
        try:
            time.sleep(2)
            assert waiting.poll() is None
            assert postgresql.tables() == []
            assert run(*job, cwd=tmp_path, DATABASE_URL=url).returncode == 0
            assert waiting.wait(PATIENCE) == 0
        finally:
            waiting.kill()
    with serving(*shop, cwd=tmp_path, DATABASE_URL=url, PORT="0") as address:
        assert ask(address) == (200, {"orders": 1})
    before = postgresql.dump()
    assert [run(*command, cwd=tmp_path, DATABASE_URL=url).returncode for command in (wait, job)] == [0, 0]
    assert before == postgresql.dump()
