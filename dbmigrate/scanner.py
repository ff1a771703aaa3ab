"""SQL text to tokens, and tokens to statements.

Laws of this file: one pass, no recursion, no look at a database or a disk; the tokens joined are the text; what
cannot be cut for certain is refused with its position, never guessed. Which characters quote, escape and comment
differs per database family, so that knowledge is a value (`Grammar`) and the rest is shared. Where a bare semicolon
may stand inside one statement (routines, triggers, rules) a `_Body` follows the keywords; there is one per family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LETTER = r"A-Za-z_\x80-\U0010ffff"
_OPERATOR = r"+\-*/<>=~!@#%^&|`?:"
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_UNSEEN = {"space", "comment"}
_TELLING = {"word", "operator"}
_HEAD, _SHORT = 8, 40  # what a Statement remembers of its first tokens


class ScriptError(ValueError):
    """SQL text that cannot be cut into statements for certain: where, why, and what to do."""

    def __init__(self, text: str, offset: int, reason: str) -> None:
        """Take the whole text, to turn `offset` (characters from 0) into a line and column from 1."""
        self.line, self.column = position(text, offset)
        self.reason = reason
        super().__init__(f"line {self.line}, column {self.column}: {reason}")


#: A piece of SQL text: kind, text, offset. The kinds: space, comment, code (an edge of MySQL's `/*! */`), command (a
#: DELIMITER line), string, name (a quoted identifier), word, number, end (a semicolon or the delimiter in force),
#: operator (anything else), and run (a stretch of words, numbers, spaces and operators that nobody looks into).
Token = tuple[str, str, int]


class _Detail:
    """What the reader of the tokens wants: every one of them, or runs where only quotes and ends matter."""

    __slots__ = ("coarse",)

    def __init__(self) -> None:
        self.coarse = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script, as it is sent: without comments around it and without its terminator."""

    text: str = field(repr=False)
    ordinal: int
    offset: int
    line: int
    column: int
    #: The first significant tokens in upper case; what a statement is can be told from them.
    head: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """What one family of databases quotes, escapes and comments with."""

    strings: tuple[str, ...]
    names: tuple[str, ...]
    line_comment: str = r"--[^\n]*+"
    body: Callable[[str], _Body | None] = field(default=lambda _first: None)
    #: The characters that open a quote; one that nothing closes is refused.
    quotes: str = "'\""
    nested_comments: bool = False
    open_comment_ends_file: bool = False
    dollar_quotes: bool = False
    executable_comments: bool = False
    delimiter_command: bool = False
    parentheses: bool = False
    #: The client program whose backslash commands are to be refused by name.
    client: str = ""


@lru_cache(maxsize=64)
def _patterns(grammar: Grammar, delimiter: str = ";") -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the expressions that match exactly one token at any place: each one, and runs."""
    end = "" if delimiter == ";" else f"(?!{re.escape(delimiter)})"
    every = "|".join(
        [
            r"(?P<space>[ \t\n\r\f\v]++)",
            *([] if delimiter == ";" else [f"(?P<delimiter>{re.escape(delimiter)})"]),
            f"(?P<comment>{grammar.line_comment})",
            *([r"(?P<code>/\*M?!\d*+)", r"(?P<uncode>\*/)"] if grammar.executable_comments else []),
            r"(?P<block>/\*)",
            f"(?P<string>{'|'.join(grammar.strings)})",
            f"(?P<name>{'|'.join(grammar.names)})",
            *([r"(?P<unclosed>[eE]')"] if grammar.dollar_quotes else []),
            *([rf"(?P<dollar>\$(?:[{_LETTER}][{_LETTER}0-9]*+)?+\$)"] if grammar.dollar_quotes else []),
            rf"(?P<word>(?:{end}[{_LETTER}])(?:{end}[{_LETTER}0-9$])*+)",
            rf"(?P<number>(?:{end}[0-9])(?:{end}[{_LETTER}0-9.])*+|\.[0-9](?:{end}[{_LETTER}0-9])*+)",
            r"(?P<end>;)",
            rf"(?P<operator>(?:{end}(?!--|/\*|\*/)[{_OPERATOR}])++|.)",
        ]
    )
    run = rf"(?P<run>(?:[ \t\n\r\f\v,.=<>+%|&~!?:@^]++|[{_LETTER}0-9][{_LETTER}0-9$]*+(?!'))++)|"
    return re.compile(every, re.DOTALL), re.compile((run if delimiter == ";" else "") + every, re.DOTALL)


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1 and counted in characters; only a line feed ends a line."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def tokens(text: str, grammar: Grammar) -> Iterator[Token]:
    """Yield the tokens of a text in order; joined they are the text.

    Raises ScriptError at a quote or comment that nothing closes, and at commands that only a client program knows.
    """
    return _scan(text, grammar, _Detail())


def _scan(text: str, grammar: Grammar, detail: _Detail) -> Iterator[Token]:
    every, runs = _patterns(grammar)
    place, length = 0, len(text)
    fresh = True  # no token of a statement seen since the last one ended
    in_code = False
    while place < length:
        found = runs.match(text, place) if detail.coarse else every.match(text, place)
        assert found is not None  # noqa: S101 - the last alternative matches any character
        kind, stop = found.lastgroup or "operator", found.end()
        if kind == "word":
            if fresh and grammar.delimiter_command and found.group().upper() == "DELIMITER":
                kind, stop = "command", _line_end(text, place)
                every, runs = _patterns(grammar, _delimiter(text, place, stop))
            else:
                fresh = False
        elif kind in ("space", "comment", "end"):
            fresh = fresh or kind == "end"
        elif kind == "delimiter":
            kind, fresh = "end", True
        elif kind == "block":
            kind, stop = "comment", _comment_end(text, place, grammar)
        elif kind == "dollar":
            kind, fresh = "string", False
            stop = text.find(found.group(), stop) + len(found.group())
            if stop < found.end() + len(found.group()):
                raise ScriptError(text, place, f"the string opened with {found.group()} is never closed")
        elif kind == "code":
            in_code = True
        elif kind == "uncode":
            kind, stop = ("code", stop) if in_code else ("operator", place + 1)
            in_code, fresh = False, fresh and kind == "code"
        elif kind == "unclosed":
            raise ScriptError(text, place, "the string opened here with E' is never closed")
        elif kind == "operator":
            _check_operator(text, place, fresh, grammar)
            fresh = False
        else:
            fresh = False
        yield kind, text[place:stop], place
        place = stop


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _delimiter(text: str, start: int, stop: int) -> str:
    words = text[start:stop].split()
    if len(words) < 2 or "\\" in words[1]:  # noqa: PLR2004 - the command and its argument
        raise ScriptError(text, start, "DELIMITER needs a delimiter without backslash, as in: DELIMITER //")
    return words[1]


def _comment_end(text: str, start: int, grammar: Grammar) -> int:
    if not grammar.nested_comments:
        end = text.find("*/", start + 2)
        if end >= 0:
            return end + 2
    else:
        depth = 0
        for edge in _COMMENT_EDGE.finditer(text, start):
            depth += 1 if edge.group() == "/*" else -1
            if depth == 0:
                return edge.end()
    if grammar.open_comment_ends_file:
        return len(text)
    raise ScriptError(text, start, "the comment opened here with /* is never closed")


def _check_operator(text: str, place: int, fresh: bool, grammar: Grammar) -> None:  # noqa: FBT001
    character = text[place]
    if character in grammar.quotes:
        raise ScriptError(text, place, f"the quote opened here with {character} is never closed")
    if character == "\\" and grammar.client and text[place + 1 : place + 2] != "N":
        command = text[place : _line_end(text, place)].strip()
        raise ScriptError(
            text,
            place,
            f"{command!r} is a command of the {grammar.client} client, not SQL: say it in SQL, or leave it out",
        )
    if character == "." and fresh:
        raise ScriptError(text, place, "no statement begins with a dot; a command of the sqlite3 shell is not SQL")


def statements(text: str, grammar: Grammar) -> Iterator[Statement]:
    """Yield the statements of a script one by one, holding no more than one; empty ones are left out.

    Raises ScriptError where the text cannot be cut for certain, at the place that it is about; the statements before
    it have been yielded then.
    """
    ordinal, line, counted = 0, 1, 0
    start, stop, depth, opened = -1, -1, 0, -1
    head: list[str] = []
    body: _Body | None = None
    bare = True  # the semicolon is the delimiter in force
    detail = _Detail()
    for kind, piece, place in chain(_scan(text, grammar, detail), (("end", "", len(text)),)):
        if kind in _UNSEEN:
            continue
        if kind == "command":
            bare = piece.split()[1] == ";"
            continue
        if kind != "end":
            if start < 0:
                start = place
            stop = place + len(piece)
            if kind == "code":
                continue
            seen = piece.upper() if kind == "word" else piece[:_SHORT]
            if not head:
                body = grammar.body(seen)
            if len(head) < _HEAD:
                head.append(seen)
                detail.coarse = len(head) == _HEAD and body is None
            if body is not None:
                body.feed(seen if kind in _TELLING else "?", place)
            if kind == "operator" and grammar.parentheses:
                if piece == "(":
                    depth, opened = depth + 1, opened if depth else place
                elif piece == ")":
                    depth = max(depth - 1, 0)
            continue
        if start < 0:
            continue
        if piece == "" and depth:
            raise ScriptError(text, opened, "the parenthesis opened here is never closed")
        if piece == ";" and (depth or (body is not None and body.compound and not bare)):
            continue
        if body is not None and body.holds(text, piece, start):
            continue
        line += text.count("\n", counted, start)
        counted, ordinal = start, ordinal + 1
        column = start - text.rfind("\n", 0, start)
        yield Statement(text[start:stop], ordinal, start, line, column, tuple(head))
        start, depth, body, detail.coarse = -1, 0, None, False
        head.clear()


class _Body:
    """Follows one statement whose text may hold bare semicolons."""

    #: Only the author's own DELIMITER ends it, where there is one.
    compound = False

    def feed(self, word: str, place: int) -> None:
        """Take the next significant token: an upper-case word, an operator, or nothing telling."""

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        """Tell whether this end (a semicolon, a delimiter, or "" for the end of the text) is inside the statement.

        Raises ScriptError when the text ends inside, or when the statement can be run by a client program only.
        """
        return False


_COPY_REMEDY = (
    "COPY ... FROM stdin takes its rows from the psql client: write INSERT statements, or load the rows from the "
    "application"
)


class _Copy(_Body):
    def __init__(self) -> None:
        self._last, self._inline = "", False

    def feed(self, word: str, place: int) -> None:  # noqa: ARG002
        self._inline = self._inline or (self._last == "FROM" and word == "STDIN")
        self._last = word

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._inline:
            raise ScriptError(text, start, _COPY_REMEDY)
        return False


class _Atomic(_Body):
    """CREATE FUNCTION and PROCEDURE of PostgreSQL with a body in BEGIN ATOMIC ... END.

    CASE ... END nests in it; after AS or a dot both words are names.
    """

    def __init__(self) -> None:
        self._routine, self._depth, self._last, self._opened = False, 0, "", 0

    def feed(self, word: str, place: int) -> None:
        if self._last in ("CREATE", "REPLACE") and word in ("FUNCTION", "PROCEDURE"):
            self._routine = True
        if self._routine and self._last not in ("AS", "."):
            if self._depth:
                self._depth += (word == "CASE") - (word == "END")
            elif self._last == "BEGIN" and word == "ATOMIC":
                self._depth, self._opened = 1, place
        self._last = word

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._depth and end == "":
            raise ScriptError(text, self._opened, "BEGIN ATOMIC has no END that closes it")
        return self._depth > 0


class _Trigger(_Body):
    """CREATE TRIGGER of SQLite: it ends with a semicolon, END, and the end (sqlite3_complete() has this rule)."""

    def __init__(self) -> None:
        self._words, self._last, self._before = 0, "", ""
        self._trigger = False

    def feed(self, word: str, place: int) -> None:  # noqa: ARG002
        self._words += 1
        self._trigger = self._trigger or (word == "TRIGGER" and self._last in ("CREATE", "TEMP", "TEMPORARY"))
        self._before, self._last = self._last, word

    def holds(self, text: str, end: str, start: int) -> bool:
        ended = self._last == "END" and self._before == ";"
        if not self._trigger or ended:
            return False
        if end == "":
            raise ScriptError(text, start, "the trigger that begins here has no END; that closes it")
        self._before, self._last = self._last, ";"
        return True


_ROUTINES = {"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"}
_OBJECTS = {
    *("TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE", "SERVER", "TABLESPACE", "LOGFILE"),
    *("UNIQUE", "FULLTEXT", "SPATIAL", "RESOURCE", "UNDO", "INSTANCE", "CATALOG"),
}
_BLOCKS = {"BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"}
_STARTERS = {"start", ";", "BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":"}
_SIMPLE = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "SET", "CALL", "RETURN", "WITH", "DO", "TRUNCATE", "CREATE"),
    *("ALTER", "DROP", "SIGNAL", "EXECUTE", "PREPARE", "VALUES", "LOAD", "RENAME", "ANALYZE", "OPTIMIZE", "KILL"),
}


class _Compound(_Body):
    """Stored programs and compound statements of MySQL and MariaDB, with or without DELIMITER.

    A block opens only where a statement can begin; CASE also as an expression. END closes a block behind a semicolon,
    an empty BEGIN or an UNTIL, and an expression anywhere. Under a DELIMITER of the author's only that one ends them.
    """

    def __init__(self, first: str) -> None:
        self._state = {"CREATE": "create", "ALTER": "create", "BEGIN": "begin"}.get(first, "body")
        self.compound = self._state == "body"
        self._stack: list[tuple[str, int]] = []
        self._last = "start"
        self._handler = self._until = False
        self._depth = self._skip = 0

    def feed(self, word: str, place: int) -> None:
        if self._skip:
            self._skip -= 1
            word = "ROW" if not self._skip else word
        elif self._state == "create":
            if word in _ROUTINES:
                self._state, self.compound = word, True
            elif word in _OBJECTS:
                self._state = "none"
        elif self._state == "begin":
            if word == "NOT":  # MariaDB: BEGIN NOT ATOMIC; any other BEGIN opens a transaction
                self._state, self.compound = "body", True
                self._stack.append(("block", place))
            elif self._last != "start":
                self._state = "none"
        elif self._state == "body":
            self._read_body(word, place)
        elif self._state != "none" and self._body_starts(word):
            self._state, self._last = "body", "start"
            self._read_body(word, place)
        self._last = word

    def _body_starts(self, word: str) -> bool:
        if self._state == "TRIGGER":
            if word in ("FOLLOWS", "PRECEDES"):
                self._skip = 1
            return self._last == "ROW" and not self._skip
        if self._state == "EVENT":
            return self._last == "DO"
        self._depth += (word == "(") - (word == ")")
        if self._depth or self._last in _ROUTINES or self._last in ("RETURNS", "CHARACTER"):
            return False
        return word in _BLOCKS or word in _SIMPLE

    def _read_body(self, word: str, place: int) -> None:
        inside = self._stack[-1][0] if self._stack else ""
        starts = self._last in _STARTERS and inside != "expression"
        if self._last == ".":
            return
        if word == "END":
            if inside == "expression" or (inside and (self._last in (";", "BEGIN") or self._until)):
                self._stack.pop()
                self._until = False
        elif word == "CASE" and self._last != "END":
            self._stack.append(("block" if starts else "expression", place))
        elif word in _BLOCKS and (starts or (self._handler and word != "FOR" and self._last != "END")):
            self._stack.append(("block", place))
            self._handler = False
        elif word == "UNTIL" and starts:
            self._until = True
        elif word == "HANDLER":
            self._handler = True

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        if self._stack and end == "":
            raise ScriptError(
                text, self._stack[-1][1], "the block opened here has no END that closes it; DELIMITER helps to see where"
            )
        if not self._stack or end != ";":
            return False
        self._last, self._handler = ";", False
        return True


_STANDARD = r"'[^']*+(?:''[^']*+)*+'"
_BACKSLASHED = r"'(?:[^'\\]++|''|\\.)*+'"
_ESCAPED = (
    r"[eE]'(?:[^'\\]++|''|\\.)*+'"
    # the standard lets a string go on behind a line feed; it stays the same kind of string
    r"(?:(?:[ \t\f\v\r]|--[^\n]*+)*+\n(?:[ \t\n\r\f\v]|--[^\n]*+\n)*+'(?:[^'\\]++|''|\\.)*+')*+"
)
_DOUBLE = r'"[^"]*+(?:""[^"]*+)*+"'
_BACKTICK = r"`[^`]*+(?:``[^`]*+)*+`"

SQLITE = Grammar(
    strings=(_STANDARD,),
    names=(_DOUBLE, _BACKTICK, r"\[[^\]]*+\]"),
    quotes="'\"`[",
    body=lambda first: _Trigger() if first in ("CREATE", "EXPLAIN") else None,
    open_comment_ends_file=True,
)
POSTGRESQL = Grammar(
    strings=(_ESCAPED, _STANDARD),
    names=(_DOUBLE,),
    quotes="'\"",
    body=lambda first: _Atomic() if first == "CREATE" else _Copy() if first == "COPY" else None,
    nested_comments=True,
    dollar_quotes=True,
    parentheses=True,
    client="psql",
)
MYSQL = Grammar(
    strings=(_BACKSLASHED, _BACKSLASHED.replace("'", '"')),
    names=(_BACKTICK,),
    quotes="'\"`",
    line_comment=r"--(?=[\x00-\x20]|\Z)[^\n]*+|#[^\n]*+",
    body=lambda first: _Compound(first) if first in _BLOCKS or first in ("CREATE", "ALTER") else None,
    executable_comments=True,
    delimiter_command=True,
    client="mysql",
)
