"""How SQLite writes SQL, and where a trigger ends."""

from __future__ import annotations

from dbmigrate.scanner import BACKTICK, DOUBLE, STANDARD, Body, Grammar, ScriptError


class _Trigger(Body):
    """CREATE TRIGGER of SQLite: it ends with a semicolon, END, and the end.

    This is the rule of sqlite3_complete().
    """

    _BEFORE = frozenset({"EXPLAIN", "QUERY", "PLAN", "CREATE", "TEMP", "TEMPORARY"})

    def __init__(self) -> None:
        self._heading, self._trigger = True, False
        self._last, self._before = "", ""

    def feed(self, word: str, place: int) -> None:  # noqa: ARG002
        if self._heading:
            self._heading, self._trigger = word in self._BEFORE, word == "TRIGGER"
        self._before, self._last = self._last, word

    def holds(self, text: str, end: str, start: int) -> bool:
        ended = self._last == "END" and self._before == ";"
        if not self._trigger or ended:
            return False
        if end == "":
            reason = "the trigger that begins here has no END; that closes it"
            raise ScriptError(text, start, reason)
        self._before, self._last = self._last, ";"
        return True


# The letter in front belongs to the string: x'61' is not x '61', a column and its alias.
SQLITE = Grammar(
    strings=(f"[xX]?{STANDARD}",),
    names=(DOUBLE, BACKTICK, r"\[[^\]]*+\]"),
    quotes="'\"`[",
    body=lambda first: _Trigger() if first in ("CREATE", "EXPLAIN") else None,
    open_comment_ends_file=True,
)
