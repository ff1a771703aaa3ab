"""A migration script as a value: its checksum, its directives, what its statements are, what is wrong with it.

Law of this file: pure functions of text. What a statement does to a transaction or a session is a dialect's knowledge,
so it comes in as a function (`traits_of`); what follows from it for the whole script is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from dbmigrate.scanner import Grammar, ScriptError, Statement, Token, position, statements, tokens

ALGORITHM = "sha256:"
CHANGED = "the file changed while it was in use: call again"

_DIRECTIVE = re.compile(r"--[ \t]*dbmigrate:[ \t]*(?P<word>[^\n]*?)\s*\Z")
_SQLX_DIRECTIVE = re.compile(r"--[ \t]*(?P<word>no-transaction)\s*\Z")
_SHORT = 1024  # characters
_BATCH = 256  # tokens
_WRITES = {"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "TRUNCATE", "DROP", "ALTER", "RENAME"}
_SAVEPOINTS, _OURS = {"SAVEPOINT", "RELEASE", "ROLLBACK"}, "DBMIGRATE_"
_SEVERAL = {"DROP", "TRUNCATE", "RENAME"}
_BEFORE_TARGET = {"INTO", "FROM", "TABLE", "IF", "EXISTS", "ONLY", "OR", "IGNORE", "REPLACE"}
_DIRECTIVES = ("no-transaction", "foreign-keys=off")
_LOOKING = (
    "between the statements of a migration that is no transaction dbmigrate writes its journal, and this would be told "
    "of that: ask inside a procedure or a BEGIN NOT ATOMIC block, or give data a migration of their own"
)
#: Space and comments and nothing else, in any dialect ("#" comments of MySQL apart, nested ones too).
_NOTHING = re.compile(rb"(?:\s|--[^\n]*+|/\*(?!M?!)[^*]*+\*++(?:[^/*][^*]*+\*++)*/|;)*")


#: What a statement does to its session: see Traits.
Change = Literal["set", "lost", "unknown"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What one statement does to the transaction and the session that it runs in."""

    #: Transaction control: it opens, ends, or otherwise steers a transaction.
    control: Literal["begin", "commit", "other"] | None = None
    #: It takes effect, or not, together with the transaction around it.
    atomic: bool = True
    #: It cannot run inside a transaction.
    outside: bool = False
    #: It changes the session: "set" can be repeated in another session, "lost" cannot (a temporary table); "unknown"
    #: calls something that might.
    session: Change | None = None
    #: The database commits what came before it, before it takes effect, even when it then fails.
    commits_before: bool = False
    #: It may leave part of its effect behind when the server reports an error.
    partial: bool = False
    #: It asks what the statement just before it did.
    looks_back: bool = False
    #: It switches SQLite's foreign keys, or checks them.
    foreign_keys: Literal["on", "off", "check"] | None = None
    #: Why it cannot run in a migration, and what to do instead.
    refused: str | None = None


PLAIN = Traits()


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a source: where, and what to do about it."""

    origin: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        place = self.origin if self.line is None else f"{self.origin}:{self.line}"
        return printable(f"{place}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Script:
    """What is known of a script after one look at all of its statements."""

    #: Of the text that was looked at: what runs must be the same.
    checksum: str
    fingerprint: str = ""
    #: Ordinals of the first and the last statement to run; a BEGIN ... COMMIT around the file is left out.
    first: int = 1
    last: int = 1
    #: Its author asked for no transaction (a directive, or metadata.toml).
    no_transaction: bool = False
    #: SQLite's foreign keys are switched off around it.
    foreign_keys_off: bool = False
    #: Every statement takes effect or not together with its transaction.
    atomic: bool = True
    #: The most that a statement may have done to the session.
    changes_session: Change | None = None
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    #: The statements of a short script, if they were to be kept, so that it need not be cut again.
    kept: tuple[Statement, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def count(self) -> int:
        """The number of statements to run."""
        return self.last - self.first + 1


def decode(data: bytes) -> tuple[str, str | None]:
    """Turn a file, without byte order mark, into the text that is sent; also say what is wrong with it.

    UTF-8, strictly; line ends stay as they are. A NUL byte is refused since some drivers silently send only the text
    before it, a bare carriage return since it ends a comment in some databases and not in others.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", "the file is UTF-16: save it as UTF-8"
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        return "", f"NUL byte in line {line}: save the file as UTF-8 text"
    if b"\r" in data and (bare := data.replace(b"\r\n", b"\n\n").find(b"\r")) >= 0:
        line = data.count(b"\n", 0, bare) + 1
        return "", f"carriage return without line feed in line {line}: use LF or CRLF line ends"
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return "", f"not UTF-8 in line {line} (byte 0x{data[error.start]:02x}): save the file as UTF-8"


def checksum(data: bytes) -> str:
    """Return SHA-256 of a script's bytes, without byte order mark, and with CRLF as LF, with its tag."""
    return ALGORITHM + sha256(data.replace(b"\r\n", b"\n") if b"\r" in data else data).hexdigest()


def checksum_of(text: str) -> str:
    """Return the checksum of a text, whatever is in it."""
    return checksum(text.encode(errors="surrogatepass"))


def is_blank(data: bytes) -> bool:
    """Tell whether a script holds nothing but space and comments."""
    return _NOTHING.fullmatch(data) is not None


def fingerprint(text: str, grammar: Grammar) -> str:
    """Return SHA-256 over the tokens, without space and comments but with directives, with its tag.

    Raises ScriptError as `tokens` does.
    """
    digest = sha256()
    for _ in _read_along(tokens(text, grammar), digest.update, []):
        pass
    return ALGORITHM + digest.hexdigest()


def _read_along(
    found: Iterable[Token], update: Callable[[bytes], object], directives: list[tuple[str, int, bool]]
) -> Iterator[Token]:
    """Yield the tokens; meanwhile make their fingerprint, and find what comments direct.

    A directive is a word, its offset, and whether it stands above the first statement.
    """
    head, pieces = True, list[str]()
    for token in found:
        yield token
        kind, piece, place = token
        if kind == "space":
            continue
        if kind == "comment":
            # SQLx's form directs only above the first statement
            said = (head and _SQLX_DIRECTIVE.match(piece)) or _DIRECTIVE.match(piece)
            if not said:
                continue
            directives.append((said["word"], place, head))
            piece = f"-- dbmigrate: {said['word']}"
        elif kind == "command":
            piece = " ".join(piece.split())
        elif "\r" in piece:
            piece = piece.replace("\r\n", "\n")
        head = head and kind == "comment"
        pieces.append(piece)
        if len(pieces) == _BATCH:
            update("\0".join([*pieces, ""]).encode())
            pieces.clear()
    update("\0".join([*pieces, ""]).encode())


def inspect(
    text: str,
    grammar: Grammar,
    traits_of: Callable[[Statement], Traits],
    *,
    origin: str,
    transaction: bool = True,
    ledger: str | None = None,
    keep: bool = False,
) -> Script:
    """Look at a whole script before any of it runs, holding one statement at a time.

    `transaction` is what a file beside the script says (metadata.toml), `ledger` the name of the table that the script
    must not write to; `keep`: remember the statements, if it is short. Nothing is raised: what is wrong with the script
    is in `problems`, each with its line.
    """
    problems: list[Problem] = []

    def wrong(line: int | None, reason: str) -> None:
        problems.append(Problem(origin, line, reason))

    ours = {ledger.upper(), f"{ledger}_journal".upper()} if ledger else set[str]()
    whole, digest = checksum_of(text), sha256()
    directives: list[tuple[str, int, bool]] = []
    marked: list[tuple[Statement, Traits]] = []
    atomic, last = True, 0
    changes: Change | None = None
    kept = list[Statement]()
    outside: Statement | None = None
    looking: Statement | None = None
    try:
        for statement in statements(text, grammar, _read_along(tokens(text, grammar), digest.update, directives)):
            last = statement.ordinal
            if keep and len(text) <= _SHORT:
                kept.append(statement)
            traits = traits_of(statement)
            for reason in _refusals(statement, traits, ours):
                wrong(statement.line, reason)
            if traits is PLAIN:
                continue
            if traits.control is not None or traits.foreign_keys is not None:
                marked.append((statement, traits))
            outside = outside or (statement if traits.outside else None)
            looking = looking or (statement if traits.looks_back else None)
            atomic = atomic and traits.atomic
            changes = traits.session if changes in (None, "unknown") and traits.session else changes
    except ScriptError as error:
        wrong(error.line, error.reason)
        return Script(whole, last=last, problems=(*_wrong_directives(text, origin, directives), *problems))
    problems[:0] = _wrong_directives(text, origin, directives)
    mark = ALGORITHM + digest.hexdigest()
    words = {word for word, _, _ in directives}
    no_transaction = not transaction or "no-transaction" in words
    first, last, switched, wrapped = _unwrap(marked, last)
    if outside is not None and not no_transaction:
        remedy = "put the line -- dbmigrate: no-transaction at the head of the file"
        wrong(outside.line, f"{' '.join(outside.head[:3])} cannot run in a transaction: {remedy}")
    if looking is not None and (no_transaction or not atomic):
        wrong(looking.line, _LOOKING)
    if wrapped and no_transaction:
        wrong(marked[0][0].line, "BEGIN ... COMMIT around a script that is marked no-transaction: keep one of the two")
    for statement, traits in marked:
        if first <= statement.ordinal <= last and traits.foreign_keys != "check":
            wrong(statement.line, _misplaced(statement, traits))
    off = switched or "foreign-keys=off" in words
    if off and no_transaction:
        wrong(None, "foreign-keys=off needs the transaction that no-transaction gives up: keep one of the two")
    return Script(whole, mark, first, last, no_transaction, off, atomic, changes, tuple(problems), tuple(kept) or None)


def _refusals(statement: Statement, traits: Traits, ours: set[str]) -> Iterator[str]:
    if statement.head[0] in _WRITES and ours & _targets(statement):
        yield f"{statement.head[0]} on the ledger: only dbmigrate writes to it; to read it is fine"
    if statement.head[0] in _SAVEPOINTS and any(
        word.strip('"`[]').upper().startswith(_OURS) for word in statement.head[1:]
    ):
        yield "savepoints with names that begin with dbmigrate_ are dbmigrate's own: call it something else"
    if traits.refused is not None:
        yield traits.refused


def _unwrap(marked: list[tuple[Statement, Traits]], last: int) -> tuple[int, int, bool, bool]:
    """Drop `PRAGMA foreign_keys` and then `BEGIN ... COMMIT` around a script: first, last, switched off, wrapped."""
    at = {statement.ordinal: traits for statement, traits in marked}
    first, switched, wrapped = 1, False, False
    if first in at and at[first].foreign_keys == "off":
        first, switched = 2, True
        if last in at and at[last].foreign_keys == "on":
            last -= 1
        while last in at and at[last].foreign_keys == "check":  # done before the commit anyway
            last -= 1
    if first in at and at[first].control == "begin" and last in at and at[last].control == "commit":
        first, last, wrapped = first + 1, last - 1, True
    return first, last, switched, wrapped


def _targets(statement: Statement) -> set[str]:
    """Return the tables that a statement writes to, in upper case and without schema, as far as its head tells."""
    names = [word.strip('"`[]').upper() for word in statement.head[1:]]
    if statement.head[0] in _SEVERAL:
        return set(names)
    while names and names[0] in _BEFORE_TARGET:
        names.pop(0)
    while names[1:2] == ["."]:
        del names[:2]
    return set(names[:1])


def _misplaced(statement: Statement, traits: Traits) -> str:
    if traits.foreign_keys is not None:
        return (
            "SQLite ignores PRAGMA foreign_keys inside a transaction, and every migration runs in one: open the file "
            "with PRAGMA foreign_keys=OFF, or with the comment -- dbmigrate: foreign-keys=off"
        )
    return (
        f"{' '.join(statement.head[:2])} in a migration: the transaction is dbmigrate's, with the ledger row in it. "
        "Leave it out, or open the file with BEGIN and close it with COMMIT, or split the migration here"
    )


def _wrong_directives(text: str, origin: str, directives: list[tuple[str, int, bool]]) -> Iterator[Problem]:
    for word, place, head in directives:
        line = position(text, place)[0]
        if word not in _DIRECTIVES:
            yield Problem(origin, line, f"unknown directive {word!r}; there are {' and '.join(map(repr, _DIRECTIVES))}")
        elif not head:
            yield Problem(origin, line, f"the directive {word!r} must stand above the first statement")


def printable(text: str) -> str:
    """Return text without control characters, so that a file name cannot steer a terminal; line ends and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
