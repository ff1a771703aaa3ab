"""SQL text to tokens, and tokens to statements.

Laws of this file: one pass, no recursion, no look at a database or a disk; the tokens joined are the text; what cannot
be cut for certain is refused with its position, never guessed. Which characters quote, escape and comment differs per
database family, so that knowledge is a value (`Grammar`) and the rest is shared. Where a bare semicolon may stand in
one statement (routines, triggers) a `Body` follows the keywords; the families with such statements have one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

_SPACE = " \t\n\r\f\v"
LETTER = "A-Za-z_"
_COMMENT_EDGE = re.compile(r"/\*|\*/")
#: What goes on behind an E'...' string is read as that string was.
_CONTINUED = re.compile(r"(?P<string>'(?:[^'\\]++|''|\\.)*+')|(?P<unclosed>')", re.DOTALL)
_TELLING = {"word", "operator"}
_HEAD, _SHORT = 8, 40  # what a Statement remembers of its first tokens


class ScriptError(ValueError):
    """SQL text that cannot be cut into statements for certain: where (line and column from 1), why, and what to do."""

    def __init__(self, text: str, offset: int, reason: str) -> None:
        self.line, self.column = position(text, offset)
        self.reason = reason
        super().__init__(f"line {self.line}, column {self.column}: {reason}")


#: Quoting that several families have.
STANDARD = r"'[^']*+(?:''[^']*+)*+'"
BACKSLASHED = r"'(?:[^'\\]++|''|\\.)*+'"
DOUBLE = r'"[^"]*+(?:""[^"]*+)*+"'
BACKTICK = r"`[^`]*+(?:``[^`]*+)*+`"

#: A piece of SQL text: kind, text, offset. The kinds: space, comment, code (an edge of MySQL's `/*! */`), command
#: (DELIMITER and its argument), string, name (a quoted identifier), word, number, end (a semicolon or the delimiter in
#: force), and operator (one character of anything else).
Token = tuple[str, str, int]


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
    body: Callable[[str], Body | None] = field(default=lambda _first: None)
    #: What a word can begin with besides all that is not ASCII, as in a character class.
    letters: str = LETTER
    #: The characters that open a quote; one that nothing closes is refused.
    quotes: str = "'\""
    nested_comments: bool = False
    open_comment_ends_file: bool = False
    #: Also E'...' strings.
    dollar_quotes: bool = False
    executable_comments: bool = False
    #: Reads the client's DELIMITER command at a place: what it sets, and where it ends. To that client two dashes are
    #: also a comment wherever a statement could begin.
    delimiter: Callable[[str, int], tuple[str, int]] | None = None
    parentheses: bool = False
    #: The client program whose backslash commands are to be refused by name.
    client: str = ""


def _any(ascii_letters: str) -> str:
    """Return a class of these and of all that is not ASCII: as what it is not, which takes a hundredth to compile."""
    wanted = re.compile(f"[{ascii_letters}]")
    return "[^" + "".join(f"\\x{n:02x}" for n in range(128) if not wanted.match(chr(n))) + "]"


# Python 3.11.0 to 3.11.4 match possessive groups of alternatives wrongly, so these repeat their groups plainly.
@lru_cache(maxsize=64)
def _pattern(grammar: Grammar, delimiter: str = ";") -> re.Pattern[str]:
    """Return the expression that matches exactly one token at any place."""
    bare = delimiter == ";"
    end = "" if bare else f"(?!{re.escape(delimiter)})"
    inner = "" if grammar.dollar_quotes else "$"  # or it opens a quote, behind a number
    first, then, number = _any(grammar.letters), _any(f"{LETTER}0-9$"), _any(f"{LETTER}0-9{inner}")
    start, more = f"{end}{first}", f"{end}{then}"
    dollar = rf"\$(?:{_any(LETTER)}{_any(f'{LETTER}0-9')}*+)?+\$"
    within = rf"{end}{number}|(?<=[0-9])\.(?!\.)|(?<=[eE])[+\-](?=[0-9])"
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
            f"(?P<word>(?:{start})(?:{more})*)",
            rf"(?P<number>(?:{end}[0-9]|\.[0-9])(?:{within})*)",
            r"(?P<end>;)",
            r"(?P<operator>.)",
        ]
    )
    return re.compile(every, re.DOTALL)


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1, in characters; only a line feed ends a line."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def tokens(text: str, grammar: Grammar) -> Iterator[Token]:
    """Yield the tokens of a text in order; joined they are the text.

    Raises ScriptError at a quote or comment that nothing closes, and at commands that only a client program knows.
    """
    pattern = _pattern(grammar)
    place, length = 0, len(text)
    fresh = True  # a statement could begin here
    in_code = False
    escaped = False  # if a quote opens here, an E'...' string goes on
    while place < length:
        found = (_CONTINUED if escaped and text[place] == "'" else pattern).match(text, place)
        assert found is not None  # noqa: S101 - the last alternative matches any character
        kind, stop = found.lastgroup or "", found.end()
        assert stop > place  # noqa: S101 - or it would never end
        if kind == "block":
            kind, stop = "comment", _comment_end(text, place, grammar)
        elif kind == "operator" and fresh and grammar.delimiter and text.startswith("--", place):
            kind, stop = "comment", _line_end(text, place)
        if kind in ("space", "comment"):
            yield kind, text[place:stop], place
            place = stop
            continue
        escaped = kind == "string" and (escaped or text[place] in "eE")
        if kind == "word" and fresh and grammar.delimiter and found[0].upper() == "DELIMITER":
            delimiter, stop = grammar.delimiter(text, place)
            pattern = _pattern(grammar, delimiter)
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
        raise ScriptError(text, place, "no statement begins with a dot; a command of the sqlite3 shell is not SQL")


def statements(  # noqa: C901, PLR0912, PLR0915
    text: str, grammar: Grammar, found: Iterable[Token] | None = None
) -> Iterator[Statement]:
    """Yield the statements of a script one by one, holding no more than one; not the empty ones.

    `found`: its tokens, from somebody who looks at them too. Raises ScriptError where the text cannot be cut for
    certain, at the place that it is about; the statements before it have been yielded then.
    """
    ordinal, line, line_start, counted = 0, 1, 0, 0
    start = stop = -1
    depth, opened = 0, -1  # parentheses
    code = -1  # where a /*! opened
    conditional = False  # the statement began in one
    head: list[str] = []
    body: Body | None = None
    bare = True  # the semicolon is the delimiter in force
    for kind, piece, place in chain(tokens(text, grammar) if found is None else found, (("end", "", len(text)),)):
        if kind in ("space", "comment"):
            continue
        if kind == "command":
            bare = piece.split(None, 1)[1].strip("'\"") == ";"
            continue
        if kind != "end":
            if start < 0:
                start, conditional = place, kind == "code"
            stop = place + len(piece)
            if kind == "code":
                code = -1 if piece == "*/" else place
                continue
            if code < 0 and conditional:
                reason = "the statement begins in /*! and goes on outside: whether a server reads that part differs"
                raise ScriptError(text, start, reason)
            if body is not None or len(head) < _HEAD:
                seen = piece.upper() if kind == "word" else piece[:_SHORT]
                if not head:
                    body = grammar.body(seen)
                if len(head) < _HEAD and (code < 0 or conditional):
                    head.append(seen)
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
        start, body = -1, None
        head.clear()


def blanked(text: str, grammar: Grammar, is_unwanted: Callable[[Sequence[str]], bool]) -> str:
    """Return a script in which some statements do nothing; what follows them stays in its line.

    `is_unwanted` is given the words of a statement in upper case, without names in quotes.
    """
    pieces, end = list[str](), 0
    for statement in statements(text, grammar):
        words = [piece.upper() for kind, piece, _ in tokens(statement.text, grammar) if kind in _TELLING]
        if is_unwanted(words):
            pieces += [text[end : statement.offset], "SELECT 1", "\n" * statement.text.count("\n")]
            end = statement.offset + len(statement.text)
    return "".join([*pieces, text[end:]])


class Body:
    """Follows one statement whose text may hold bare semicolons."""

    #: Only the author's own DELIMITER ends it, where there is one.
    compound = False

    def feed(self, word: str, place: int) -> None:
        """Take the next significant token: an upper-case word, an operator, "?" for the others."""

    def holds(self, text: str, end: str, start: int) -> bool:  # noqa: ARG002
        """Tell whether this end (";", a delimiter, or "": of the text) is inside the statement.

        Raises ScriptError when the text ends inside, or when the statement cannot be cut for certain or can be run by a
        client program only.
        """
        return False
