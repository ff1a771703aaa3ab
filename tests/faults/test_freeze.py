"""A connection that freezes: it stays open and carries nothing, for a while or for ever."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from dbmigrate import MigrationError, MigrationFailed, MigrationInProgress, Migrator, Report, StatementFinished
from tests.faults.scene import Scene, steps_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.conftest import Database
    from tests.faults.proxy import Freeze, When

pytestmark = pytest.mark.kinds("postgresql", "mariadb")

_LOCK = "pg_try_advisory_lock|GET_LOCK"

#: The message at which the connection of a run freezes, and on which side of it.
MOMENTS: dict[str, tuple[str, int, When]] = {
    "it has the lock and does not know": (_LOCK, 1, "after"),
    "in a transaction, before a statement": ("2 up", 1, "before"),
    "in a transaction, behind a statement": ("2 up", 1, "after"),
    "before the record": ("INTO .{,30}dbmigrate_ledger", 2, "before"),
    "before a COMMIT": ("COMMIT", 3, "before"),
    "behind a COMMIT": ("COMMIT", 3, "after"),
    "before a statement outside a transaction": ("CONCURRENTLY|COPY", 1, "before"),
    "behind a statement outside a transaction": ("CONCURRENTLY|COPY", 1, "after"),
}
AT = pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)


def _names(holder: str | None, session: int) -> bool:
    return f" {session} " in str(holder)


@AT
@pytest.mark.fault("the connection of a run freezes for a while")
def test_a_frozen_holder_goes_on(database: Database, moment: tuple[str, int, When]) -> None:
    """Others wait as long as they are told to, and learn who holds the lock; thawed, it goes on as if nothing were."""
    scene = Scene(database)
    with scene.frozen(*moment) as (freeze, future):
        (session,) = scene.sessions()
        with pytest.raises(MigrationInProgress) as caught:
            scene.migrator(acquire_timeout=0.2).upgrade()
        assert _names(caught.value.holder, session)
        assert _names(str(caught.value), session)
        freeze.thaw()
        assert steps_of(future.result()) == scene.steps
    scene.check()


@AT
@pytest.mark.fault("the connection of a run freezes, and the server ends its session")
def test_a_holder_that_is_frozen_for_ever(database: Database, moment: tuple[str, int, When]) -> None:
    """Somebody else goes on; what the frozen one says in the end is true, and each step is reported by one of them."""
    scene = Scene(database)
    with scene.frozen(*moment) as (freeze, future):
        scene.end_sessions()
        ran = scene.recover()
        freeze.thaw(cut=True)
        report, unknown = _truth(future)
    reported = Counter(steps_of(report) + ran)
    assert reported.total() == len(reported)
    assert set(scene.steps) - set(reported) <= unknown
    scene.check()


def _truth(future: Future[Report]) -> tuple[Report, set[str]]:
    """Return what a run reports in the end, and the step of which it says that it does not know."""
    try:
        return future.result(), set()
    except MigrationFailed as error:
        assert "connection was lost" in str(error)
        return error.report, {str(error.step)} if "status() tells whether" in str(error) else set()
    except MigrationError as error:
        assert "the database failed between steps" in str(error)
        return Report(), set()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.fault("the connection of a waiter freezes for a while")
def test_a_frozen_waiter(database: Database, when: When) -> None:
    """It stands in nobody's way, and finds everything done in the end."""
    scene = Scene(database)
    frozen: list[tuple[Freeze, Future[Report]]] = []

    def on_event(event: object) -> None:
        """Once the lock is held: have somebody wait for it, whose connection freezes."""
        if isinstance(event, StatementFinished) and not frozen:
            frozen.append(stack.enter_context(scene.frozen(_LOCK, 2, when)))

    with ExitStack() as stack:
        assert steps_of(Migrator(database.url, scene.source, on_event=on_event).upgrade()) == scene.steps
        ((freeze, future),) = frozen
        assert steps_of(scene.migrator().upgrade()) == []
        freeze.thaw()
        assert steps_of(future.result()) == []
    scene.check()
