"""SQL text to tokens, and tokens to statements.

Laws of this file: one pass, no recursion, no look at a database or a disk; the tokens joined are
the text; what cannot be cut for certain is refused with its position, never guessed. Which
characters quote, escape and comment differs per database family, so that knowledge is a value
(`Grammar`) and the rest is shared. Where a bare semicolon may stand inside one statement (routines,
triggers) a `_Body` follows the keywords; there is one per family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPACE = " \t\n\r\f\v"
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_COMMENT_EDGE = re.compile(r"/\*|\*/")
#: A delimiter that can be told from the text around it; the client takes no longer one.
_DELIMITER = re.compile(r"(?P<quote>['\"]?)(?P<delimiter>[^\s\\'\"`.+*-]{1,15})(?P=quote)(?=\s|\Z)")
#: What goes on behind an E'...' string is read as that string was.
_CONTINUED = re.compile(r"(?P<string>'(?:[^'\\]++|''|\\.)*+')|(?P<unclosed>')", re.DOTALL)
_TELLING = {"word", "operator"}
_HEAD, _SHORT = 8, 40  # what a Statement remembers of its first tokens


class ScriptError(ValueError):
    """SQL text that cannot be cut into statements for certain: where, why, and what to do."""

    def __init__(self, text: str, offset: int, reason: str) -> None:
        """Take the whole text, to turn `offset` (characters from 0) into line and column from 1."""
        self.line, self.column = position(text, offset)
        self.reason = reason
        super().__init__(f"line {self.line}, column {self.column}: {reason}")


#: A piece of SQL text: kind, text, offset. The kinds: space, comment, code (an edge of MySQL's
#: `/*! */`), command (DELIMITER and its argument), string, name (a quoted identifier), word,
#: number, end (a semicolon or the delimiter in force), operator (one character of anything else),
#: and run (a stretch of words, numbers, spaces and operators that nobody looks into).
Token = tuple[str, str, int]


class _Detail:
    """What the reader of tokens wants: each one, or runs where only quotes and ends matter."""

    __slots__ = ("coarse",)

    def __init__(self) -> None:
        self.coarse = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, as it is sent: without comments around it and without its terminator."""

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
    #: What a word can begin with, as in a character class.
    letters: str = _LETTER
    #: The characters that open a quote; one that nothing closes is refused.
    quotes: str = "'\""
    nested_comments: bool = False
    open_comment_ends_file: bool = False
    #: Also E'...' strings.
    dollar_quotes: bool = False
    executable_comments: bool = False
    #: Also the client's rule that two dashes are a comment wherever a statement could begin.
    delimiter_command: bool = False
    parentheses: bool = False
    #: The client program whose backslash commands are to be refused by name.
    client: str = ""


@lru_cache(maxsize=64)
def _patterns(grammar: Grammar, delimiter: str = ";") -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the expressions that match exactly one token at any place: each one, and runs."""
    bare = delimiter == ";"
    end = "" if bare else f"(?!{re.escape(delimiter)})"
    start, more = f"{end}[{grammar.letters}]", f"{end}[{_LETTER}0-9$]"
    dollar = rf"\$(?:[{_LETTER}][{_LETTER}0-9]*+)?+\$"
    within = rf"{more}|(?<=[0-9])\.(?!\.)|(?<=[eE])[+\-](?=[0-9])"
    every = "|".join(
        [
            rf"(?P<space>[{_SPACE}]++)",
            *([] if bare else [f"(?P<delimiter>{re.escape(delimiter)})"]),
            f"(?P<comment>{grammar.line_comment})",
            *([r"(?P<code>/\*M?!\d*+)|(?P<uncode>\*/)"] if grammar.executable_comments else []),
            r"(?P<block>/\*)",
            f"(?P<string>{'|'.join(grammar.strings)})",
            f"(?P<name>{'|'.join(grammar.names)})",
            *([rf"(?P<unclosed>[eE]')|(?P<dollar>{dollar})"] if grammar.dollar_quotes else []),
            f"(?P<word>(?:{start})(?:{more})*+)",
            rf"(?P<number>(?:{end}[0-9]|\.[0-9])(?:{within})*+)",
            r"(?P<end>;)",
            r"(?P<operator>.)",
        ]
    )
    exact = re.compile(every, re.DOTALL)
    if not bare:
        return exact, exact
    plain = rf",.=<>+%|&~!?:@^]++|[{grammar.letters}0-9][{_LETTER}0-9$]*+(?!')"
    return exact, re.compile(rf"(?P<run>(?:[{plain})(?:[{_SPACE}{plain})*+)|{every}", re.DOTALL)


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1, in characters; only a line feed ends a line."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def tokens(text: str, grammar: Grammar) -> Iterator[Token]:
    """Yield the tokens of a text in order; joined they are the text.

    Raises ScriptError at a quote or comment that nothing closes, and at commands that only a
    client program knows.
    """
    return _scan(text, grammar, _Detail())


def _scan(text: str, grammar: Grammar, detail: _Detail) -> Iterator[Token]:
    every, runs = _patterns(grammar)
    place, length = 0, len(text)
    fresh = True  # a statement could begin here
    in_code = False
    escaped = False  # if a quote opens here, an E'...' string goes on
    while place < length:
        if escaped and text[place] == "'":
            found = _CONTINUED.match(text, place)
        else:
            found = (runs if detail.coarse else every).match(text, place)
        assert found is not None  # noqa: S101 - the last alternative matches any character
        kind, stop = found.lastgroup or "", found.end()
        if kind == "block":
            kind, stop = "comment", _comment_end(text, place, grammar)
        elif kind == "operator" and fresh and grammar.delimiter_command and text.startswith("--", place):
            kind, stop = "comment", _line_end(text, place)
        if kind in ("space", "comment"):
            yield kind, text[place:stop], place
            place = stop
            continue
        escaped = kind == "string" and (escaped or text[place] in "eE")
        if kind == "word" and fresh and grammar.delimiter_command and found[0].upper() == "DELIMITER":
            delimiter, stop = _delimiter(text, place)
            every, runs = _patterns(grammar, delimiter)
            yield "command", text[place:stop], place
            # the client does not look at the rest of the line
            kind, place, stop = "comment", stop, _line_end(text, stop)
            if place == stop:
                continue
        elif kind in ("end", "delimiter"):
            kind, fresh = "end", True
        elif kind == "code":
            in_code = True
        elif kind == "uncode":
            kind, stop = ("code", stop) if in_code else ("operator", place + 1)
            in_code, fresh = False, fresh and in_code
        else:
            if kind == "dollar":
                kind, stop = "string", _dollar_end(text, place, found[0])
            elif kind in ("operator", "unclosed"):
                _refuse(text, place, kind, fresh, grammar)
            fresh = False
        yield kind, text[place:stop], place
        place = stop


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


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


def _dollar_end(text: str, start: int, tag: str) -> int:
    end = text.find(tag, start + len(tag))
    if end < 0:
        raise ScriptError(text, start, f"the string opened with {tag[:_SHORT]} is never closed")
    return end + len(tag)


def _comment_end(text: str, start: int, grammar: Grammar) -> int:
    if not grammar.nested_comments:
        end = text.find("*/", start + 2)
        if end >= 0:
            return end + 2
    else:
        depth = 0
        for edge in _COMMENT_EDGE.finditer(text, start):
            depth += 1 if edge[0] == "/*" else -1
            if depth == 0:
                return edge.end()
    if grammar.open_comment_ends_file:
        return len(text)
    raise ScriptError(text, start, "the comment opened here with /* is never closed")


def _refuse(text: str, place: int, kind: str, fresh: bool, grammar: Grammar) -> None:  # noqa: FBT001
    """Raise ScriptError for a character that is no operator of any SQL, at least not here."""
    character = text[place]
    if kind == "unclosed" or character in grammar.quotes:
        quote = "E'" if character in "eE" else character
        raise ScriptError(text, place, f"the quote opened here with {quote} is never closed")
    if character == "\\" and grammar.client and text[place + 1 : place + 2] != "N":
        command = text[place : _line_end(text, place)].strip()[:_SHORT]
        reason = f"{command!r} is a command of the {grammar.client} client, not SQL: say it in SQL, or leave it out"
        raise ScriptError(text, place, reason)
    if character == "." and fresh:
        reason = "no statement begins with a dot; a command of the sqlite3 shell is not SQL"
        raise ScriptError(text, place, reason)


def statements(text: str, grammar: Grammar) -> Iterator[Statement]:  # noqa: C901, PLR0912, PLR0915
    """Yield the statements of a script one by one, holding no more than one; not the empty ones.

    Raises ScriptError where the text cannot be cut for certain, at the place that it is about; the
    statements before it have been yielded then.
    """
    ordinal, line, line_start, counted = 0, 1, 0, 0
    start = stop = -1
    depth, opened = 0, -1  # parentheses
    code = -1  # where a /*! opened
    head: list[str] = []
    body: _Body | None = None
    bare = True  # the semicolon is the delimiter in force
    detail = _Detail()
    for kind, piece, place in chain(_scan(text, grammar, detail), (("end", "", len(text)),)):
        if kind in ("space", "comment"):
            continue
        if kind == "command":
            bare = piece.split(None, 1)[1].strip("'\"") == ";"
            continue
        if kind != "end":
            if start < 0:
                start = place
            if kind == "run":
                piece = piece.rstrip(_SPACE)  # noqa: PLW2901
            stop = place + len(piece)
            if kind == "code":
                code = -1 if piece == "*/" else place
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
        if depth:
            if piece:
                continue
            raise ScriptError(text, opened, "the parenthesis opened here is never closed")
        if piece == ";" and not bare and body is not None and body.compound:
            continue
        if body is not None and body.holds(text, piece, start):
            continue
        if code >= 0:
            raise ScriptError(text, code, "the /*! opened here is not closed before the statement ends")
        if head:
            if lines := text.count("\n", counted, start):
                line += lines
                line_start = text.rfind("\n", counted, start) + 1
            counted, ordinal = start, ordinal + 1
            column = start - line_start + 1
            yield Statement(text[start:stop], ordinal, start, line, column, tuple(head))
        start, body, detail.coarse = -1, None, False
        head.clear()


class _Body:
    """Follows one statement whose text may hold bare semicolons."""

    #: Only the author's own DELIMITER ends it, where there is one.
    compound = False

    def feed(self, word: str, place: int) -> None:
        """Take the next significant token: an upper-case word, an operator, "?" for the others."""

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        """Tell whether this end (";", a delimiter, or "": of the text) is inside the statement.

        Raises ScriptError when the text ends inside, or when the statement cannot be cut for
        certain or can be run by a client program only.
        """
        return False


_COPY_REMEDY = (
    "COPY ... FROM stdin takes its rows from the psql client: write INSERT statements, or load the "
    "rows from the application"
)


class _Copy(_Body):
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


class _Atomic(_Body):
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


class _Trigger(_Body):
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


class _Compound(_Body):
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


_STANDARD = r"'[^']*+(?:''[^']*+)*+'"
_BACKSLASHED = r"'(?:[^'\\]++|''|\\.)*+'"
_DOUBLE = r'"[^"]*+(?:""[^"]*+)*+"'
_BACKTICK = r"`[^`]*+(?:``[^`]*+)*+`"

# The letter in front belongs to the string: x'61' is not x '61', a column and its alias.
SQLITE = Grammar(
    strings=(f"[xX]?{_STANDARD}",),
    names=(_DOUBLE, _BACKTICK, r"\[[^\]]*+\]"),
    quotes="'\"`[",
    body=lambda first: _Trigger() if first in ("CREATE", "EXPLAIN") else None,
    open_comment_ends_file=True,
)
POSTGRESQL = Grammar(
    strings=(f"[eE]{_BACKSLASHED}", f"(?:[bBnNxX]|[uU]&)?{_STANDARD}"),
    names=(f"(?:[uU]&)?{_DOUBLE}",),
    body=lambda first: _Atomic() if first == "CREATE" else _Copy() if first == "COPY" else None,
    nested_comments=True,
    dollar_quotes=True,
    parentheses=True,
    client="psql",
)
MYSQL = Grammar(
    strings=(f"[bBnNxX]?{_BACKSLASHED}", _BACKSLASHED.replace("'", '"')),
    names=(_BACKTICK,),
    letters=_LETTER + "$",
    quotes="'\"`",
    line_comment=r"--(?=[\x00-\x20]|\Z)[^\n]*+|#[^\n]*+",
    body=lambda first: _Compound() if first in _BLOCKS | {"CREATE", "ALTER", "SET"} else None,
    executable_comments=True,
    delimiter_command=True,
    client="mysql",
)
