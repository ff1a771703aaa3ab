"""A migrator that is stopped (SIGSTOP) at a moment, and wakes up late: nobody was in its place, or it notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbmigrate import MigrationInProgress
from tests.faults.scene import Scene, steps_of
from tests.processes import Moment, Sleeper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Database, Kind

_LEDGER: Mapping[Kind, str] = {
    "sqlite": 'INSERT INTO "main"."dbmigrate_ledger" ',
    "postgresql": 'INSERT INTO "public"."dbmigrate_ledger" ',
    "mariadb": "INSERT INTO `dbmigrate_test",
}
_OUTSIDE: Mapping[Kind, str] = {"sqlite": "VACUUM", "postgresql": "CREATE INDEX", "mariadb": "ALTER TABLE things"}

_FIRST, _TWO, _FOUR = (
    "INSERT INTO things VALUES (1)",
    "INSERT INTO effects VALUES ('2",
    "INSERT INTO effects VALUES ('4",
)


def _moments(kind: Kind) -> dict[str, Moment]:
    return {
        "before the first statement": Moment("before", "INSERT INTO things VALUES (1)"),
        "between a statement and its record": Moment("before", _LEDGER[kind], behind=_TWO),
        "before COMMIT": Moment("before", "COMMIT", behind=_TWO),
        "before a statement outside a transaction": Moment("before", _OUTSIDE[kind]),
        "behind a statement outside a transaction": Moment("after", _OUTSIDE[kind]),
        "before the last statement outside a transaction": Moment("before", "INSERT INTO effects VALUES ('4"),
    }


WHERE = pytest.mark.parametrize("where", _moments("sqlite"))


@WHERE
@pytest.mark.fault("a run is stopped (SIGSTOP) for a while")
def test_it_goes_on_when_it_wakes_up(database: Database, where: str) -> None:
    """Its session lives, and with it the lock: others wait, and are told who has it; nothing runs twice."""
    scene = Scene(database)
    with Sleeper(database.url, scene.source, _moments(database.kind)[where]) as sleeper:
        with pytest.raises(MigrationInProgress) as caught:
            scene.migrator(acquire_timeout=0.2).upgrade()
        if database.kind != "sqlite":  # which does not know
            # the one that gave up may not have gone yet
            assert any(f" {session} " in str(caught.value.holder) for session in scene.sessions())
            assert str(caught.value.holder) in str(caught.value)
        answer = sleeper.wake()
    assert (answer.error, answer.applied) == (None, scene.steps)
    scene.check()


@WHERE
@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.fault("a run is stopped (SIGSTOP), and the server ends its session")
def test_it_notices_when_it_wakes_up(database: Database, where: str) -> None:
    """Somebody else went on meanwhile; it says that it lost its connection, and does nothing any more."""
    scene = Scene(database)
    with Sleeper(database.url, scene.source, _moments(database.kind)[where]) as sleeper:
        scene.end_sessions()
        ran = scene.recover()
        answer = sleeper.wake()
    assert sorted(answer.applied + ran) == scene.steps
    if where == "before COMMIT":
        assert answer.error is None  # it has asked the ledger, and found everything done
    else:
        assert "connection was lost" in str(answer.error)
    scene.check()


@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.fault("a run is stopped (SIGSTOP) where it holds no lock")
def test_it_had_no_lock(database: Database) -> None:
    """It plans again when it wakes up: what it wanted to do is done."""
    scene = Scene(database)
    lock = "SELECT GET_LOCK" if database.kind == "mariadb" else "SELECT pg_catalog.pg_try_advisory_lock"
    with Sleeper(database.url, scene.source, Moment("before", lock)) as sleeper:
        assert steps_of(scene.migrator().upgrade()) == scene.steps
        answer = sleeper.wake()
    assert (answer.error, answer.applied) == (None, [])
    scene.check()
