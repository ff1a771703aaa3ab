"""What information_schema of MariaDB and MySQL says of one database, in the same words in every session.

Laws of this file: it only reads, and changes no setting but for its own statement; text is asked for as bytes, so that
no character set of a connection can change it; NULL is the empty text; the name of the database itself is nowhere in
what it answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count

from sqlalchemy.engine import Connection

from dbmigrate.dialects.base import send
from dbmigrate.dialects.mysql_effects import KINDS, quoted
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.errors import ConfigurationError
from dbmigrate.scanner import ScriptError, Token, tokens

_MANY = 18446744073709551615
#: What a session may have set and an answer could depend on.
_SETTINGS = {"sql_mode": "''", "sql_select_limit": _MANY, "sql_big_selects": 1, "time_zone": "'+00:00'"}
_MARIADB = "SET STATEMENT sql_quote_show_create=1, {} FOR ".format(", ".join(f"{k}={v}" for k, v in _SETTINGS.items()))
_MYSQL = " /*+ {} */".format(" ".join(f"SET_VAR({k}={v})" for k, v in _SETTINGS.items()))
#: What only some versions have.
_OPTIONAL = {"TEMPORARY", "IGNORED", "IS_VISIBLE", "EXPRESSION", "ALGORITHM", "LEVEL", "ENFORCED"}
_PLAIN = re.compile(r"[^\W\d][\w$]*")
#: Question marks in a regular expression.
_MARKS = re.compile(r"(?:\\\?)+")
_ESCAPED = re.compile(r"\\(['\\])")
#: What a trigger calls the rows.
_ROWS = {"new", "old"}
#: Behind these stands a table, or a sequence in parentheses.
_BEFORE_TABLES, _BEFORE_SEQUENCES = {"JOIN", "STRAIGHT_JOIN"}, {"NEXTVAL", "LASTVAL", "SETVAL"}

#: What stands where a definition would, if the user of the connection has no right to it.
UNSEEN = "(this user may not see it)"

Row = dict[str, str]


class Information:
    """The answers of a server over one connection. Raises ConfigurationError if that is in no database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        self._before, self._hint = (_MARIADB, "") if self.is_mariadb else ("", _MYSQL)
        self.database, self._user = self.select("DATABASE(), CURRENT_USER()")[0]
        if not self.database:
            raise ConfigurationError("the URL names no database: add /name to it")
        own = "information_schema.columns WHERE table_schema = 'information_schema'"
        self.columns = {(t.upper(), c.upper()) for t, c in self.select(f"TABLE_NAME, COLUMN_NAME FROM {own}")}

    def select(self, what: str) -> list[list[str]]:
        """Return rows, as text."""
        found = send(self._connection, f"{self._before}SELECT{self._hint} {what}")
        return [[_text(value) for value in row] for row in found]

    def ask(self, source: str, *columns: str, schema: str = "TABLE_SCHEMA") -> list[Row]:
        """Return what one of its tables says of this database; columns that only some versions have may be missing."""
        names = [c for c in columns if c not in _OPTIONAL or (source.upper(), c) in self.columns]
        what = ", ".join(f"CAST({name} AS BINARY)" for name in names)
        found = self.select(f"{what} FROM information_schema.{source} WHERE {schema} = DATABASE()")
        return [dict(zip(names, row, strict=True)) for row in found]

    def create(self, kind: str, name: str) -> str:
        """Return what SHOW CREATE says; "" where this user may not see it."""
        # This cannot be cast, so the driver reads it as it reads all text.
        before = self._before.replace("SET STATEMENT", "SET STATEMENT character_set_results=utf8mb4,")
        row = next(iter(send(self._connection, f"{before}SHOW CREATE {kind} {quoted(name)}")))
        return _text(row[KINDS.get(kind, 2)])

    def body(self, kind: str, name: str, text: str) -> str:
        """Return the text of a view or program without the name of the database."""
        if not text:
            return UNSEEN
        whole = self._whole(kind, name, text)
        return whole if kind == "VIEW" else self._of_program(whole)

    def _of_program(self, text: str) -> str:
        """Take the name of the database out of what somebody wrote."""
        if self.database.casefold() not in text.casefold() or self.database.casefold() in _ROWS:
            return text
        try:
            found = list(tokens(text, MYSQL))
        except ScriptError:  # as in a mode in which quotes mean something else
            return text
        kept = [piece for _, piece, _ in found]
        told = [number for number, (kind, _, _) in enumerate(found) if kind not in ("space", "comment")]
        words = ["", *(kept[number] for number in told), "", "", ""]
        named = [
            place
            for place, number in enumerate(told)
            if found[number][0] in ("word", "name")
            and kept[number].strip("`").casefold() == self.database.casefold()
            and words[place] != "@"
        ]
        # If something else is called so, what is behind it may be a column.
        is_clear = all(words[place] != "." and words[place + 2] == "." for place in named)
        at_table = list(_at_tables(found))
        for place in named:
            is_told = is_clear or at_table[told[place]] or words[place + 4] in (".", "(")
            if words[place + 2] == "." and words[place] != "." and is_told:
                begin, end = told[place], told[place + 2]
                kept[begin:end] = [""] * (end - begin)
        return "".join(kept)

    def _whole(self, kind: str, name: str, text: str) -> str:
        """Return the text of a view or program, with what question marks stand for in it."""
        if not self.is_mariadb or "?" not in text:
            return text
        whole = self.create(kind, name)
        if kind == "VIEW":
            # Its text was stored as bytes, and each of the four of a character became one.
            whole, size, end = self.anonymous(whole)[0], 4, ""
        else:
            size, end = 1, r"\Z"

        def any_of(run: re.Match[str]) -> str:
            most = len(run[0]) // 2  # each is escaped
            return f".{{{-(-most // size)},{most}}}"

        found = re.search(_MARKS.sub(any_of, re.escape(text)) + end, whole, re.DOTALL)
        return found[0] if found else text

    def definer(self, row: Row) -> str:
        """Return whose rights something has; "": those of the user who looks."""
        return "" if row["DEFINER"] == self._user else row["DEFINER"]

    def expression(self, text: str) -> str:
        """Return an expression as it can be written. MySQL escapes what is in its own quotes once too often."""
        return self.anonymous(text)[0] if self.is_mariadb else _ESCAPED.sub(r"\1", text)

    def anonymous(self, text: str) -> tuple[str, set[str]]:
        """Return SQL as the server prints it without the name of the database, and what was named with it."""
        own = quoted(self.database)
        if own not in text:
            return text, set()
        found = list(tokens(text, MYSQL))
        at_table = dict(zip((place for _, _, place in found), _at_tables(found), strict=True))
        kept, named, skip = list[str](), set[str](), 0
        for number, (kind, piece, place) in enumerate(found):
            after = [piece for _, piece, _ in found[number + 1 : number + 4]]
            if skip:
                skip -= 1
            elif (
                (kind, piece) == ("name", own)
                and after[:1] == ["."]
                and (number == 0 or found[number - 1][1] != ".")
                # An alias may be called as the database is: what is behind it is a column then.
                and (at_table[place] or after[2:] in (["."], ["("]))
            ):
                skip = 1
                named.add(after[1][1:-1].replace("``", "`"))
            else:
                kept.append(piece)
        return "".join(kept), named


def _at_tables(found: Sequence[Token]) -> Iterator[bool]:
    """Tell of each token whether it stands where a table or a sequence is named."""
    expected, selects, last = False, [False], ""
    for kind, piece, _ in found:
        word = piece.upper() if kind == "word" else piece
        yield expected
        if kind in ("space", "comment"):
            continue
        if word == "(":
            selects.append(False)
            expected = expected or last in _BEFORE_SEQUENCES
        else:
            expected = word in _BEFORE_TABLES or (word == "FROM" and selects[-1])
        if word == ")" and len(selects) > 1:
            selects.pop()
        selects[-1] = selects[-1] or word == "SELECT"
        last = word


def shown(name: str) -> str:
    """Return a name as it stands in a property: quoted only if it could be taken for something else."""
    return name if _PLAIN.fullmatch(name) else quoted(name)


def distinct(names: Iterable[str]) -> Iterator[str]:
    """Give names with a number behind those that were there before."""
    taken = set[str]()
    for name in names:
        free = chain([name], (f"{name} #{number}" for number in count(2)))
        yield (found := next(candidate for candidate in free if candidate not in taken))
        taken.add(found)


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)
