"""How PostgreSQL writes SQL, where a body in BEGIN ATOMIC ends, and what only psql can run."""

from __future__ import annotations

from dbmigrate.scanner import BACKSLASHED, DOUBLE, STANDARD, Body, Grammar, ScriptError

_COPY_REMEDY = (
    "COPY ... FROM stdin takes its rows from the psql client: write INSERT statements, or load the "
    "rows from the application"
)


class _Copy(Body):
    """COPY of PostgreSQL, with rows of data behind it that are no SQL when it reads from stdin."""

    def __init__(self) -> None:
        self._depth, self._last, self._inline = 0, "", False

    def feed(self, word: str, place: int) -> None:  # noqa: ARG002
        self._depth += (word == "(") - (word == ")")
        self._inline |= not self._depth and self._last == "FROM" and word == "STDIN"
        self._last = word

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._inline:
            raise ScriptError(text, start, _COPY_REMEDY)
        return False


class _Atomic(Body):
    """CREATE FUNCTION and PROCEDURE of PostgreSQL with a body in BEGIN ATOMIC ... END.

    CASE ... END nests in it; after AS or a dot both words are names. The last END follows a
    semicolon.
    """

    def __init__(self) -> None:
        self._routine, self._depth, self._last, self._opened = False, 0, "", 0

    def feed(self, word: str, place: int) -> None:
        if self._last in ("CREATE", "REPLACE") and word in ("FUNCTION", "PROCEDURE"):
            self._routine = True
        if self._routine and self._last not in ("AS", "."):
            if word == "ATOMIC" and self._last == "BEGIN" and not self._depth:
                self._depth, self._opened = 1, place
            elif word == "CASE" and self._depth:
                self._depth += 1
            elif word == "END" and (self._depth > 1 or self._last in (";", "ATOMIC")):
                self._depth -= 1
        self._last = word

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._depth and end == "":
            raise ScriptError(text, self._opened, "BEGIN ATOMIC has no END that closes it")
        self._last = ";"
        return self._depth > 0


# The letter in front belongs to the string: x'61' is not x '61', a column and its alias.
POSTGRESQL = Grammar(
    strings=(f"[eE]{BACKSLASHED}", f"(?:[bBnNxX]|[uU]&)?{STANDARD}"),
    names=(f"(?:[uU]&)?{DOUBLE}",),
    body=lambda first: _Atomic() if first == "CREATE" else _Copy() if first == "COPY" else None,
    nested_comments=True,
    dollar_quotes=True,
    parentheses=True,
    client="psql",
)
