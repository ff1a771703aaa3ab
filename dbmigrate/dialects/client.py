"""How the database's own client program reads a script.

Law of this file: text comes in and text goes out. What such a program takes for itself (its commands, variables,
delimiters, line ends) is written so that the server gets each statement as its author wrote it; what cannot be
written so is refused.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from dbmigrate.scanner import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate.scanner import Grammar, Statement

#: What psql could take for the name of a variable, behind a colon.
_VARIABLE = re.compile(r"[\w'\"{]")
#: A line that ends a statement for the sqlite3 shell, as in the clients of other databases.
_OTHERS_END = re.compile(r"^\s*(?:/|go)\s*(?:$|--|/\*)", re.IGNORECASE | re.MULTILINE)


class Client:
    """What differs between client programs."""

    #: How to run a script with it.
    call: str
    #: What gives the rest of a script a new session; None: nothing does.
    renew: str | None = None
    #: The time in UTC, as the ledger's columns hold it, and who is connected: in SQL.
    now: str
    user = "NULL"
    #: SQLite: what switches foreign keys off, and what fails where one is violated.
    foreign_keys_off = ""
    foreign_key_check = ""

    def head(self, wait: float) -> Sequence[str]:  # noqa: ARG002
        """Return the lines that have it stop at the first error; a locked database may keep it waiting for seconds."""
        return ()

    def literal(self, text: str) -> str:
        """Return text as a string literal."""
        return "'" + text.replace("'", "''") + "'"

    def statement(self, statement: Statement, grammar: Grammar) -> str:  # noqa: ARG002
        """Return a statement and what ends it. Raises ValueError, with the reason, if the client would misread it."""
        return f"{statement.text};"

    def script(self, text: str) -> str:
        """Return a whole script so that line ends reach the server."""
        return text


class Psql(Client):
    """PostgreSQL's psql."""

    call = "psql -X -f FILE DATABASE"
    renew = "DISCARD ALL;"  # of the migration lock too, which the next record takes again
    now = "pg_catalog.timezone('UTC', pg_catalog.clock_timestamp())"
    user = "pg_catalog.concat(session_user, '@', coalesce(pg_catalog.host(pg_catalog.inet_client_addr()), 'localhost'))"

    def head(self, wait: float) -> Sequence[str]:  # noqa: ARG002
        """Stop at errors, whatever the user's own settings."""
        return (r"\set ON_ERROR_STOP on", r"\set AUTOCOMMIT on")

    def statement(self, statement: Statement, grammar: Grammar) -> str:
        """Put a backslash before what would end it or be a variable; psql takes that away and reads no further.

        A routine ends with a command: psql counts BEGIN and END in it, by less than the whole grammar.
        """
        text, pieces = statement.text, list[str]()
        for kind, piece, place in tokens(text, grammar):
            before, behind = text[place - 1 : place], text[place + 1 : place + 2]
            variable = kind == "operator" and piece == ":" and before != ":" and _VARIABLE.match(behind)
            pieces.append(f"\\{piece}" if variable or kind == "end" else piece)
        routine = statement.head[0] == "CREATE" and {"FUNCTION", "PROCEDURE"} & set(statement.head)
        return "".join(pieces) + ("\n\\g" if routine else ";")


class MariaDB(Client):
    """The mariadb client, or mysql: without --force it stops at the first error by itself, when it reads a file."""

    call = "mariadb DATABASE < FILE"
    renew = "DO RELEASE_ALL_LOCKS();\nconnect"  # or the new session could be there before the old one has gone
    now = "UTC_TIMESTAMP(6)"
    user = "USER()"

    def literal(self, text: str) -> str:
        """Return text as a string literal; the client drops a carriage return at the end of a line."""
        return super().literal(text.replace("\\", "\\\\")).replace("\r", "\\r")

    def statement(self, statement: Statement, grammar: Grammar) -> str:
        """Choose a delimiter if the statement has semicolons; quote it whole if the client would change it.

        The client drops carriage returns and comments, which matters in strings and in programs whose text is stored.
        """
        text, head = statement.text, statement.head
        stored = head[0] in ("CREATE", "ALTER") and not {"TABLE", "TEMPORARY"} & set(head)
        kinds = set[str]()
        for kind, piece, _ in tokens(text, grammar):
            if ("\r" in piece and (stored or kind in ("string", "name"))) or (stored and kind == "comment"):
                return f"EXECUTE IMMEDIATE {self.literal(text)};"
            kinds.add(kind)
        if "end" not in kinds:
            return f"{text};"
        mark = next(mark for number in count(2) if (mark := "/" * number) not in text)
        return f"DELIMITER {mark}\n{text}\n{mark}\nDELIMITER ;"


class Sqlite3(Client):
    """The sqlite3 shell."""

    call = "sqlite3 -bail DATABASE < FILE"
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    foreign_keys_off = "PRAGMA foreign_keys = OFF;"
    foreign_key_check = (
        "-- overflows where a foreign key is violated\nSELECT abs(-9223372036854775808) FROM pragma_foreign_key_check;"
    )

    def head(self, wait: float) -> Sequence[str]:
        """Stop at errors; wait for the application's own transactions."""
        return (".bail on", f".timeout {int(wait * 1000)}")

    def statement(self, statement: Statement, grammar: Grammar) -> str:
        """Refuse a line of nothing but `/` or `go`, which ends a statement."""
        quoted = ("string", "name", "comment")
        bare = "".join("x" if kind in quoted else piece for kind, piece, _ in tokens(statement.text, grammar))
        if _OTHERS_END.search(bare):
            raise ValueError("the sqlite3 shell takes a line of nothing but / or go for the end of the statement")
        return f"{statement.text};"

    def script(self, text: str) -> str:
        """Double the carriage returns: the shell drops one at the end of a line."""
        return text.replace("\r\n", "\r\r\n")
