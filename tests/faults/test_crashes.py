"""A server that ends at once, without a word, and is started again on the same data."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from dbmigrate import HistoryError, MigrationError, Unfinished
from tests import conftest, servers
from tests.faults.scene import Scene
from tests.processes import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database, Kind

pytestmark = [pytest.mark.kinds("postgresql", "mariadb"), pytest.mark.fault("the server is killed and started again")]

_TWO: Final = "INSERT INTO effects VALUES ('2"

#: Moments at which the server is killed; the messages are those of step 2, all rows, and of one that is no transaction.
MOMENTS: Final[dict[Kind, dict[str, Moment]]] = {
    "postgresql": {
        "before the first statement": Moment("before", "INSERT INTO things VALUES (1)"),
        "between two statements": Moment("after", "INSERT INTO things VALUES (1)"),
        "before COMMIT": Moment("before", "COMMIT", behind=_TWO),
        "behind COMMIT": Moment("after", "COMMIT", behind=_TWO),
        "before a statement outside a transaction": Moment("before", "CREATE INDEX"),
        "behind a statement outside a transaction": Moment("after", "CREATE INDEX"),
        "between statements outside a transaction": Moment("before", "INSERT INTO effects VALUES ('4"),
    },
    "mariadb": {
        "before the first statement": Moment("before", "INSERT INTO things VALUES (1)"),
        "between two statements": Moment("after", "INSERT INTO things VALUES (1)"),
        "before COMMIT": Moment("before", "COMMIT", behind=_TWO),
        "behind COMMIT": Moment("after", "COMMIT", behind=_TWO),
        "before a statement outside a transaction": Moment("before", "CREATE TABLE notes"),
        "behind a statement outside a transaction": Moment("after", "CREATE TABLE notes"),
        "between statements outside a transaction": Moment("before", "INSERT INTO effects VALUES ('3"),
    },
}
#: Statements in the middle of which it is killed.
LASTING: Final[dict[Kind, list[tuple[str, str]]]] = {
    "postgresql": [("INSERT INTO effects", " VALUES ('2"), ("CREATE INDEX", "")],
    "mariadb": [("INSERT INTO effects", " VALUES ('2"), ("ALTER TABLE things", "")],
}


@pytest.fixture(scope="module")
def durable() -> Iterator[dict[str, servers.Server]]:
    """Servers of these tests' own, which write to disk what they have committed."""
    started: dict[str, servers.Server] = {}
    yield started
    for server in started.values():
        server.stop()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, durable: dict[str, servers.Server]) -> Iterator[Database]:
    """An empty database on a server that may be killed."""
    kind, driver = request.param
    conftest.server_of(request.config, kind)  # or be skipped
    if kind not in durable:
        durable[kind] = servers.postgresql(durable=True) if kind == "postgresql" else servers.mariadb(durable=True)
    yield from conftest._database(kind, driver, request.config, tmp_path, durable[kind])


def _scene(database: Database) -> tuple[Scene, servers.Server]:
    assert database.server is not None
    # PyMySQL leaves a Unix socket open over which it could not connect.
    return Scene(database, tcp=True), database.server


@pytest.mark.parametrize("where", MOMENTS["postgresql"])
def test_killed_at_a_moment(database: Database, where: str) -> None:
    """The run fails; started again, everything is there once."""
    scene, server = _scene(database)
    run = scene.migrator_at(MOMENTS[database.kind][where], lambda _: server.crash())
    with pytest.raises(MigrationError):
        run.upgrade()
    server.start_again()
    scene.recover()


@pytest.mark.parametrize("where", MOMENTS["postgresql"])
def test_back_before_anybody_looks(database: Database, where: str) -> None:
    """If the server is back at once, a run whose COMMIT got no answer goes on by itself; others fail."""
    scene, server = _scene(database)

    def restart(_: Any) -> None:
        server.crash()
        server.start_again()

    run = scene.migrator_at(MOMENTS[database.kind][where], restart)
    with suppress(MigrationError):
        run.upgrade()
    scene.recover()


@pytest.mark.parametrize("number", [0, 1], ids=["in a transaction", "outside a transaction"])
def test_killed_in_the_middle_of_a_statement(database: Database, number: int) -> None:
    """What was half done is gone, or an INVALID index, which is dropped and built anew."""
    scene, server = _scene(database)
    begin, rest = LASTING[database.kind][number]
    with scene.in_the_middle(begin, rest) as middle:
        server.crash()
        with pytest.raises(MigrationError, match="connection was lost"):
            middle.report()
    server.start_again()

    if number == 1:
        (finding,) = scene.migrator().status().errors
        assert isinstance(finding, Unfinished)
        assert finding.in_doubt
        with pytest.raises(HistoryError, match="Call resume"):
            scene.migrator().upgrade()
        if database.kind == "postgresql":
            assert database.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(1,)]
    scene.recover()


@pytest.mark.parametrize("number", [3, 4])
def test_killed_before_it_answers_commit(database: Database, number: int) -> None:
    """Whether it was committed or not, nothing is lost and nothing runs twice."""
    scene, server = _scene(database)
    with scene.frozen("COMMIT", number, "after") as (_, future):
        server.crash()
        server.start_again()
    with suppress(MigrationError):
        future.result()
    scene.recover()
