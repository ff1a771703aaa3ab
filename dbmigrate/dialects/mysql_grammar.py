"""How MariaDB and MySQL write SQL, and where stored programs end with and without DELIMITER."""

from __future__ import annotations

import re

from dbmigrate.scanner import BACKSLASHED, BACKTICK, LETTER, Body, Grammar, ScriptError

_ROUTINES = {"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"}
_OBJECTS = {
    *("TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE", "SERVER"),
    *("TABLESPACE", "LOGFILE", "UNIQUE", "FULLTEXT", "SPATIAL", "RESOURCE", "UNDO", "INSTANCE"),
    *("CATALOG",),
}
_BLOCKS = {"BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"}
_STARTERS = {"start", ";", "BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":"}
_SIMPLE = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "SET", "CALL", "RETURN", "WITH", "DO"),
    *("TRUNCATE", "CREATE", "ALTER", "DROP", "SIGNAL", "RESIGNAL", "EXECUTE", "PREPARE", "VALUES"),
    *("LOAD", "RENAME", "ANALYZE", "OPTIMIZE", "KILL", "SHOW", "EXPLAIN", "DESCRIBE", "DESC"),
    *("CHECK", "CHECKSUM", "REPAIR", "GRANT", "REVOKE", "FLUSH", "GET", "XA", "HANDLER", "PURGE"),
}
#: Behind one of these an END is the name of a column.
_OPERAND_FOLLOWS = {
    *("CASE", "WHEN", "THEN", "ELSE", "UNTIL", "AND", "OR", "XOR", "NOT", "SELECT", "IN", "LIKE"),
    *("(", ",", "=", "<", ">", "!", "+", "-", "*", "/", "%", "|", "&", "^", "~", "DIV", "MOD"),
}


#: A delimiter that can be told from the text around it; the client takes no longer one.
_DELIMITER = re.compile(r"(?P<quote>['\"]?)(?P<delimiter>[^\s\\'\"`.+*-]{1,15})(?P=quote)(?=\s|\Z)")


def _delimiter(text: str, start: int) -> tuple[str, int]:
    """Return what a DELIMITER command sets, and where it ends, as the client reads it."""
    if text[text.rfind("\n", 0, start) + 1 : start].strip():
        reason = "DELIMITER must stand first in its line, or the client does not see it"
        raise ScriptError(text, start, reason)
    argument = start + len("DELIMITER")
    while text[argument : argument + 1] in (" ", "\t"):
        argument += 1
    found = _DELIMITER.match(text, argument)
    if found is None or argument == start + len("DELIMITER"):
        reason = "DELIMITER needs a delimiter of at most 15 characters, as in: DELIMITER //"
        raise ScriptError(text, start, reason)
    return found["delimiter"], found.end()


class _Compound(Body):
    """Stored programs and compound statements of MySQL and MariaDB, with or without DELIMITER.

    A block opens only where a statement can begin; CASE also as an expression. END closes a block
    behind a semicolon, an empty BEGIN or an UNTIL, and an expression behind an operand. Under a
    DELIMITER of the author's only that one ends them.
    """

    def __init__(self) -> None:
        #: Where in the statement we are: its first word, the words behind CREATE, SET or BEGIN,
        #: the heading of a kind of routine, its body, or nowhere that matters.
        self._state = "first"
        self._stack: list[tuple[str, int]] = []
        self._last = self._before = ""
        self._handler = ""  # in DECLARE ... HANDLER FOR: a condition is "wanted", or "seen"
        self._until = False
        self._depth = 0
        self._foreign = -1

    def feed(self, word: str, place: int) -> None:
        state = self._state
        if state == "body":
            word = self._read(word, place)
        elif state == "first":
            self._state = {"CREATE": "CREATE", "ALTER": "CREATE", "SET": "SET"}.get(word, "none")
            if word == "BEGIN":
                self._state = "BEGIN"
            elif word in _BLOCKS:
                word = self._open_body(word, place)
        elif state == "CREATE":
            if word in _ROUTINES:
                self._state, self.compound = word, True
                self._foreign = place if word == "PACKAGE" else -1
            elif word in _OBJECTS:
                self._state = "none"
        elif state == "SET":  # MariaDB: SET STATEMENT variable = value FOR statement
            self._state = "FOR" if word == "STATEMENT" else "none"
        elif state == "FOR":
            self._state = "first" if word == "FOR" else "FOR"
        elif state == "BEGIN":  # MariaDB: BEGIN NOT ATOMIC; any other BEGIN opens a transaction
            self._state = "none"
            if word == "NOT":
                self._state, self.compound = "body", True
                self._stack.append(("block", place))
        elif state != "none" and self._body_starts(word, place):
            word = self._open_body(word, place)
        self._before, self._last = self._last, word

    def _open_body(self, word: str, place: int) -> str:
        self._state, self.compound, self._last = "body", True, "start"
        return self._read(word, place)

    def _body_starts(self, word: str, place: int) -> bool:
        if self._state == "EVENT":
            return self._last == "DO"
        if self._state == "TRIGGER":
            if (self._before, self._last) != ("EACH", "ROW"):
                return False
            if word in ("FOLLOWS", "PRECEDES"):
                self._state = "ORDER"
                return False
            if word == "DECLARE":
                self._foreign = place
            return True
        if self._state in ("ORDER", "ORDERED"):  # the name of the other trigger, and what follows
            ordered, self._state = self._state == "ORDERED", "ORDERED"
            return ordered
        self._depth += (word == "(") - (word == ")")
        if self._depth or self._last in _ROUTINES or self._last in (".", "EXISTS", "RETURNS"):
            return False  # a name, or a type
        if word == "SET" and self._last in ("CHARACTER", "CHAR"):
            return False
        if word in ("AS", "IS"):
            self._foreign = place
        return word in _BLOCKS or word in _SIMPLE

    def _read(self, word: str, place: int) -> str:
        """Follow the blocks of a body; return what the word is to those behind it."""
        if self._last in (".", "@"):
            return "?"
        if self._handler:
            if self._in_conditions(word):
                return word
            self._last = "start"
        inside = self._stack[-1][0] if self._stack else ""
        starts = self._last in _STARTERS and inside != "expression"
        if word == "END":
            if inside == "expression" or self._until:
                closes = self._last not in _OPERAND_FOLLOWS
            else:
                closes = self._last in (";", "BEGIN", "ATOMIC")
            if inside and closes:
                self._until = self._until and inside == "expression"
                self._stack.pop()
        elif word == "CASE":
            if self._last != "END":
                self._stack.append(("block" if starts else "expression", place))
        elif starts and word in _BLOCKS:
            self._stack.append(("block", place))
        elif starts and word == "DO":  # the statement; the DO of a loop stands behind its condition
            return "?"
        elif word == "UNTIL":
            self._until = self._until or starts
            return word if starts else "?"
        elif word == "HANDLER" and self._before == "DECLARE":
            self._handler = "wanted"
        return word

    def _in_conditions(self, word: str) -> bool:
        """Tell whether the word belongs to the list behind HANDLER, or begins the statement."""
        if self._handler == "wanted":
            more = word in ("FOR", "SQLSTATE", "NOT") or (word, self._last) == ("VALUE", "SQLSTATE")
            self._handler = "wanted" if more else "seen"
            return True
        self._handler = "wanted" if word == "," else ""
        return word == ","

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._foreign >= 0 and end == ";":
            reason = (
                "this is a routine of sql_mode=ORACLE, a package or another language: only a "
                "DELIMITER of its own tells where it ends"
            )
            raise ScriptError(text, self._foreign, reason)
        if self._stack and end == "":
            reason = "the block opened here has no END that closes it; DELIMITER helps to see where"
            raise ScriptError(text, self._stack[-1][1], reason)
        self._last = ";"
        return bool(self._stack) and end == ";"


# The letter in front belongs to the string: x'61' is not x '61', a column and its alias.
MYSQL = Grammar(
    strings=(f"[bBnNxX]?{BACKSLASHED}", BACKSLASHED.replace("'", '"')),
    names=(BACKTICK,),
    letters=LETTER + "$",
    quotes="'\"`",
    line_comment=r"--(?=[\x00-\x20]|\Z)[^\n]*+|#[^\n]*+",
    body=lambda first: _Compound() if first in _BLOCKS | {"CREATE", "ALTER", "SET"} else None,
    executable_comments=True,
    delimiter=_delimiter,
    client="mysql",
)
