"""Migrations in Python: files with `def upgrade(connection)`, and functions that are in memory.

A file is parsed before anything runs, and executed only when its step does; SQL is not looked for in it. What a
function may not do is watched while it runs: it must leave the step's transaction alone, and must not hide from us
that a statement failed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutinefunction, isgenerator, unwrap
from types import ModuleType, TracebackType
from typing import Any, NoReturn, overload

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects.base import StepError
from dbmigrate.errors import MigrationError
from dbmigrate.layouts.folder import Entry, FileBody
from dbmigrate.model import Migration
from dbmigrate.script import Problem, Script, checksum, checksum_of

Call = Callable[[Connection], object]

_DOWNGRADE = re.compile(r"^(?:async\s+)?def\s+downgrade\b", re.MULTILINE)
_CONTROL = re.compile(r"\s*(?:COMMIT|BEGIN|END|START\s+TRANSACTION|ROLLBACK(?!\s+(?:\w+\s+)?TO\b))\b", re.IGNORECASE)
_ASYNC = "must be a plain function, not async: it is called with a Connection"


@dataclass(frozen=True, slots=True)
class Function:
    """One direction of a migration as a function in memory. It has neither checksum nor fingerprint."""

    origin: str
    function: Call = field(repr=False)
    transaction: bool = True
    checksum: None = None

    @property
    def filename(self) -> str:
        """The file that the function was written in, as tracebacks name it."""
        code = getattr(unwrap(self.function), "__code__", None)
        return code.co_filename if code is not None else self.origin

    def read(self) -> str:
        """Return nothing: there is no text."""
        return ""

    def look(self) -> Script:
        """Return what is known of it."""
        wrong = [Problem(self.origin, None, f"the function {_ASYNC}")] if iscoroutinefunction(self.function) else []
        return _script(checksum(b""), wrong, transaction=self.transaction)

    def run(self, connection: Connection, text: str, *, transaction: bool) -> object:  # noqa: ARG002
        """Call the function."""
        return self.function(connection)


@dataclass(frozen=True, slots=True)
class PythonFile(FileBody):
    """One direction of a migration as a function in a file."""

    #: `upgrade` or `downgrade`.
    function: str

    @property
    def filename(self) -> str:
        """The file, as tracebacks name it."""
        return self.origin

    def look(self) -> Script:
        """Parse the file, and say what is wrong with it. Nothing in it is run."""
        text = self.read()
        mark, wrong, transaction = checksum_of(text), list[Problem](), self.transaction
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            return _script(mark, [Problem(self.origin, line, f"not Python: {getattr(error, 'msg', error)}")])
        found: ast.stmt | None = None
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == self.function:
                found = node
            for name, value in _assigned(node):
                if name == "transaction" and isinstance(value, ast.Constant) and isinstance(value.value, bool):
                    transaction = value.value
                elif name == "transaction":
                    wrong.append(Problem(self.origin, node.lineno, "say transaction = True or False"))
        if found is None:
            wrong.append(Problem(self.origin, None, f"there is no def {self.function}(connection) in it"))
        elif isinstance(found, ast.AsyncFunctionDef):
            wrong.append(Problem(self.origin, found.lineno, f"{self.function} {_ASYNC}"))
        return _script(mark, wrong, transaction=transaction)

    def run(self, connection: Connection, text: str, *, transaction: bool) -> object:
        """Run the module, whose text was checked, and call its function; meanwhile it can be found in sys.modules."""
        module = ModuleType(self.origin)
        module.__name__ = f"dbmigrate migration {self.origin} {id(module):x}"  # another thread may run the same file
        module.__file__ = self.origin  # its path only names it
        sys.modules[module.__name__] = module  # SQLAlchemy and dataclasses look there for what annotations mean
        try:
            exec(compile(text, self.origin, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
            if getattr(module, "transaction", True) is not transaction:
                raise StepError("transaction must be set by a line of its own at the left margin: transaction = False")
            return getattr(module, self.function)(connection)
        finally:
            sys.modules.pop(module.__name__, None)


PythonBody = Function | PythonFile


def bodies(entry: Entry, problems: list[Problem]) -> tuple[PythonFile, PythonFile | None]:
    """Return both directions of a file, which is read once, to hash it; what is wrong is added to `problems`.

    A way back may turn out to be text in a string: the file is parsed, and refused, when it is to go that way.
    """
    data, text, defect = entry.read()
    if defect is not None:
        problems.append(entry.problem(defect))
    up, down = (PythonFile(entry.origin, checksum(data), True, entry, name) for name in ("upgrade", "downgrade"))  # noqa: FBT003
    return up, down if _DOWNGRADE.search(text) else None


def _script(mark: str, problems: list[Problem], *, transaction: bool = True) -> Script:
    wrong = tuple(problems)
    return Script(mark, no_transaction=not transaction, atomic=False, changes_session="unknown", problems=wrong)


def _assigned(node: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [(target.id, node.value) for target in targets if isinstance(target, ast.Name)]


def line_of(body: PythonBody, traceback: TracebackType | None) -> int | None:
    """Return the line, in its own file, where a migration in Python was when an error was raised."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == body.filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def call(body: PythonBody, connection: Connection, text: str, *, transaction: bool = True) -> None:
    """Call the function of a body, which has this text. Raises StepError if it did what would make its record untrue.

    That is to end the transaction of the step, or to hide from us that a statement failed: whatever was caught inside.
    An error that ends a `connection.begin_nested()` is not hidden, for that is how to expect one. What goes past this
    Connection, to the driver's own or to another of the engine's, is not seen.
    """
    pending: list[str] = []
    wrong: list[str] = []

    def before(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if transaction and _CONTROL.match(statement):
            ending()
        if pending:
            wrong.append(_hidden(pending.pop(), transaction=transaction))
        pending.append(statement)

    def after(*_: object) -> None:
        pending.clear()

    def ending(*_: object) -> None:
        wrong.append("it called commit() or rollback(): the transaction is that of the step, with its record in it")
        raise StepError(wrong[-1])

    own = _another(connection)
    own.pending = pending
    if transaction:
        own.is_inside = True
        own.begin()  # to an ORM session it is the outer transaction
        event.listen(own, "commit", ending)
    event.listen(own, "rollback", ending if transaction else after)
    event.listen(own, "rollback_savepoint", after)
    event.listen(own, "before_cursor_execute", before)
    event.listen(own, "after_cursor_execute", after)
    try:
        result = body.run(own, text, transaction=transaction)
    except StepError as error:
        if isinstance(error.__context__, DBAPIError):  # an ORM session rolls back because of it
            raise error.__context__ from None
        raise
    except MigrationError as error:  # of another Migrator, and not about this one
        raise StepError(f"{type(error).__name__}: {error}") from error
    except SystemExit as error:
        raise StepError(f"it called sys.exit({error.code!r}): raise an exception of another kind") from error
    if isgenerator(result) or isawaitable(result):
        raise StepError("the function returned a generator or an awaitable, and nothing of it ran: make it a plain one")
    if pending:
        wrong.append(_hidden(pending[0], transaction=transaction))
    if wrong:
        raise StepError(wrong[0])


def _another(connection: Connection) -> _Own:
    """Return a second Connection over the same connection of the driver, with listeners and state of its own.

    Also without those of the caller's engine: a hook that sends BEGIN would disturb a transaction that is open.
    """
    engine = connection.engine
    # these are set on the driver's connection already
    settled: Collection[str] = getattr(connection.dialect, "connection_characteristics", ())
    options = {name: value for name, value in connection.get_execution_options().items() if name not in settled}
    bare = Engine(engine.pool, engine.dialect, engine.url, hide_parameters=engine.hide_parameters)
    own = _Own(bare, connection=connection.connection)
    own.execution_options(**options)
    return own


class _Own(Connection):
    """A connection that its user cannot end."""

    #: In the transaction of a step, whatever the driver says.
    is_inside = False
    #: The statement that has not ended well.
    pending: list[str]

    def _handle_dbapi_exception(self, *arguments: Any, **more: Any) -> NoReturn:  # noqa: ANN401
        # SQLAlchemy's for every error of the driver, also of a fetch, of which no event tells
        self.pending[:] = self.pending or ["a fetch"]
        super()._handle_dbapi_exception(*arguments, **more)

    def close(self) -> None:
        raise StepError("it closed the connection (with connection: does so too), which is not its own")

    def detach(self) -> None:
        raise StepError("it detached the connection, which is not its own")

    def invalidate(self, exception: BaseException | None = None) -> None:
        if exception is None:
            raise StepError("it invalidated the connection, which is not its own")
        super().invalidate(exception)  # SQLAlchemy's word that it is lost


def _hidden(statement: str, *, transaction: bool) -> str:
    how = "use connection.begin_nested()" if transaction else "call connection.rollback() behind it"
    return (
        f"it caught the error of a statement ({' '.join(statement.split())[:80]}), so it cannot be recorded as "
        f"success: to expect an error {how}"
    )


@overload
def python_migration(
    version: str, name: str, up: Call, down: Call | None = None, *, transaction: bool = True
) -> Migration: ...


@overload
def python_migration(
    version: str, name: str, *, down: Call | None = None, transaction: bool = True
) -> Callable[[Call], Migration]: ...


def python_migration(
    version: str, name: str, up: Call | None = None, down: Call | None = None, *, transaction: bool = True
) -> Migration | Callable[[Call], Migration]:
    """Return a migration made of functions, for a MemorySource; without `up` a decorator for that function.

    Each gets the Connection of its step, inside the step's transaction, which it must neither commit nor roll back;
    with `transaction=False` there is none, and each statement commits by itself. There is no checksum, so an edit is
    not noticed.
    """
    if up is None:
        return lambda function: python_migration(version, name, function, down, transaction=transaction)
    label = f"{version}_{name}"
    back = None if down is None else Function(f"{label}.down", down, transaction)
    return Migration(version, name, Function(f"{label}.up", up, transaction), back)
