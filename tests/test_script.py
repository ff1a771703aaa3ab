"""What is known of a script before it runs: checksum, fingerprint, directives, wrapper, problems."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dbmigrate.dialects import mysql, postgresql, sqlite
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.dialects.sqlite_grammar import SQLITE
from dbmigrate.scanner import ScriptError, statements, tokens
from dbmigrate.script import (
    Problem,
    checksum,
    decode,
    fingerprint,
    inspect,
    is_blank,
    printable,
)
from tests.test_scanner import GRAMMARS, SCRIPTS, cases, every_grammar, examples

if TYPE_CHECKING:
    from dbmigrate.scanner import Grammar
    from dbmigrate.script import Script

DIALECTS = {
    "sqlite": sqlite.DIALECT,
    "postgresql": postgresql.DIALECT,
    "mariadb": mysql.DIALECT,
}

every_dialect = pytest.mark.parametrize("kind", DIALECTS)


# Bytes


def test_decode_utf8() -> None:
    """UTF-8 is read as it is, line ends included."""
    assert ("é\r\n", None) == decode("é\r\n".encode())
    assert ("", None) == decode(b"")


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "UTF-16": ("SELECT 1".encode("utf-16"), "UTF-16"),
    "UTF-16, big": (b"\xfe\xff\x00S", "UTF-16"),
    "Latin-1": ("\n\n-- é".encode("latin-1"), "line 3 (byte 0xe9)"),
    "NUL": (b"SELECT 1;\n\0", "NUL byte in line 2"),
    "old Mac": (b"SELECT 1;\r\n-- a\rSELECT 2;", "line feed in line 2"),
}


@cases(UNREADABLE)
def test_decode_says_what_is_wrong(case: tuple[bytes, str]) -> None:
    """What would be sent as something else is refused, with its line."""
    data, reason = case

    text, problem = decode(data)

    assert text == ""
    assert problem is not None
    assert reason in problem


def test_checksum() -> None:
    """A checksum is SHA-256 with CRLF as LF, so that Git may change line ends."""
    assert "sha256:" + sha256(b"a\nb").hexdigest() == checksum(b"a\nb")
    assert checksum(b"a\nb") == checksum(b"a\r\nb")
    assert checksum(b"a\nb") != checksum(b"a\nb ")


@pytest.mark.parametrize(
    "data",
    [b"", b" \r\n", b"-- no way back", b"/* it's */\n;", b"--\n/***/ -- ;\n", b";;"],
)
def test_blank(data: bytes) -> None:
    """Zero bytes, white space and comments are no script."""
    assert is_blank(data)


@pytest.mark.parametrize("data", [b"SELECT 1", b"-- a\nb", b"/* a", b"/*! SELECT 1 */", b"/*M! a */"])
def test_not_blank(data: bytes) -> None:
    """Anything else is one, MySQL's executable comments too."""
    assert not is_blank(data)


# Fingerprints


SAME: dict[str, tuple[Grammar, str, str]] = {
    "white space": (SQLITE, "SELECT  1 ;", "\tSELECT\n1;\n\n"),
    "line ends": (SQLITE, "SELECT\n'a\nb';\n", "SELECT\r\n'a\r\nb';\r\n"),
    "comments": (SQLITE, "SELECT 1;", "-- one\nSELECT/* it's */1; -- ;\n/*;*/"),
    "nested comments": (POSTGRESQL, "SELECT 1", "/* /* ; */ */ SELECT 1"),
    "hashes": (MYSQL, "SELECT 1", "SELECT # it's\n 1"),
    "a hint": (MYSQL, "SELECT 1", "SELECT /*+ a */ 1"),
    "dashes at the start": (MYSQL, "SELECT 1", "--it's\nSELECT 1"),
    "space around operators": (POSTGRESQL, "SELECT a=-1<>b", "SELECT a = - 1 <> b"),
    "space around dots and parentheses": (SQLITE, "SELECT f(a.b)", "SELECT f ( a . b )"),
    "space around variables": (MYSQL, "SET @a=@b", "SET @a = @b"),
    "minus minus": (MYSQL, "SELECT a--b", "SELECT a - -b"),
    "a string that goes on": (POSTGRESQL, "SELECT E'a'\n'b'", "SELECT E'a' -- it's\r\n\t'b'"),
    "a DELIMITER line": (MYSQL, "DELIMITER //\nSELECT 1//", "DELIMITER \t// \r\nSELECT 1 // "),
    "what stands behind DELIMITER": (MYSQL, "DELIMITER //\na//", "DELIMITER // it's\na//"),
    "a directive's comment": (SQLITE, "-- no-transaction\na", "--no-transaction \r\na"),
    "two forms of a directive": (SQLITE, "-- no-transaction\na", "-- dbmigrate: no-transaction\na"),
    "no directive below": (SQLITE, "a;\n-- no-transaction\n", "a;"),
    "a word about directives": (SQLITE, "-- see no-transaction\na", "a"),
}

DIFFERENT: dict[str, tuple[Grammar, str, str]] = {
    "a word": (SQLITE, "SELECT a", "SELECT b"),
    "upper case": (SQLITE, "SELECT a", "select a"),
    "words joined": (SQLITE, "SELECT a b", "SELECT ab"),
    "words cut elsewhere": (SQLITE, "SELECT ab c", "SELECT a bc"),
    "numbers joined": (SQLITE, "SELECT 1 .5", "SELECT 1.5"),
    "numbers cut elsewhere": (SQLITE, "SELECT 1. 5", "SELECT 1 .5"),
    "a number and a name": (SQLITE, "SELECT 1e5", "SELECT 1 e5"),
    "an exponent": (MYSQL, "SELECT 1e+5", "SELECT 1e + 5"),
    "strings joined": (MYSQL, "SELECT 'a' 'b'", "SELECT 'a''b'"),
    "strings as one": (MYSQL, "SELECT 'a' 'b'", "SELECT 'ab'"),
    "space in a string": (SQLITE, "SELECT 'a b'", "SELECT 'a  b'"),
    "a comment in a string": (SQLITE, "SELECT '/* a */'", "SELECT '/* b */'"),
    "space in a name": (SQLITE, 'SELECT "a b"', 'SELECT "a  b"'),
    "space between dollars": (POSTGRESQL, "DO $$ BEGIN END $$", "DO $$ BEGIN  END $$"),
    "a comment between dollars": (POSTGRESQL, "DO $$ -- a\n$$", "DO $$ -- b\n$$"),
    "another kind of string": (POSTGRESQL, "SELECT E'a'", "SELECT E 'a'"),
    "bits": (POSTGRESQL, "SELECT B'1'", "SELECT B '1'"),
    "unicode": (POSTGRESQL, "SELECT U&'a'", "SELECT U & 'a'"),
    "unicode names": (POSTGRESQL, 'SELECT U&"a"', 'SELECT U & "a"'),
    "a blob": (SQLITE, "SELECT x'61'", "SELECT x '61'"),
    "national characters": (MYSQL, "SELECT N'a'", "SELECT N 'a'"),
    "a string or a name": (SQLITE, "SELECT 'a'", 'SELECT "a"'),
    "minus minus": (SQLITE, "SELECT a - -b", "SELECT a --b"),
    "a semicolon": (SQLITE, "SELECT 1; SELECT 2", "SELECT 1 SELECT 2"),
    "an executable comment": (MYSQL, "/*!40101 SELECT 1 */", "/*!40101 SELECT 2 */"),
    "an executable comment's version": (MYSQL, "/*!40101 SELECT 1 */", "/*!50000 SELECT 1 */"),
    "no executable comment": (MYSQL, "SELECT 1 /*!40101 + 1 */", "SELECT 1 + 1"),
    "a comment that is executed": (MYSQL, "SELECT 1 /* + 1 */", "SELECT 1 /*! + 1 */"),
    "a delimiter": (MYSQL, "DELIMITER //\nSELECT 1//", "DELIMITER $$\nSELECT 1$$"),
    "a directive": (SQLITE, "SELECT 1", "-- dbmigrate: no-transaction\nSELECT 1"),
    "SQLx's directive": (SQLITE, "SELECT 1", "-- no-transaction\nSELECT 1"),
    "another directive": (SQLITE, "-- dbmigrate: foreign-keys=off\na", "-- no-transaction\na"),
}


@cases(SAME)
def test_fingerprint_is_the_same(case: tuple[Grammar, str, str]) -> None:
    """White space and comments outside of quotes do not count."""
    grammar, one, other = case

    assert fingerprint(one, grammar) == fingerprint(other, grammar)


@cases(DIFFERENT)
def test_fingerprint_differs(case: tuple[Grammar, str, str]) -> None:
    """All else does."""
    grammar, one, other = case

    assert fingerprint(one, grammar) != fingerprint(other, grammar)


@every_grammar
def test_fingerprint_of_generated_scripts(kind: str) -> None:
    """Comments and line ends do not change it; a token that goes, comes or changes does."""
    grammar = GRAMMARS[kind]

    @examples(60)
    @given(script=SCRIPTS[kind], choice=st.integers(0, 10_000), data=st.data())
    def check(script: str, choice: int, data: st.DataObject) -> None:
        found = [token for token in tokens(script, grammar) if token[0] != "comment"]
        before = fingerprint(script, grammar)
        assert before.startswith("sha256:")
        longer = "".join(
            f"{piece}-- it's\n" if what == "space" else piece for what, piece, _ in tokens(script, grammar)
        )
        assert before == fingerprint(longer, grammar)
        unix = script.replace("\r\n", "\n")
        assert before == fingerprint(unix.replace("\n", "\r\n"), grammar)

        some = [token for token in found if token[0] not in ("space", "command", "code")]
        _, piece, place = some[choice % len(some)]
        other = data.draw(st.sampled_from(["", f"{piece} {piece}", " other_ "]))
        assume(piece != other.strip())
        changed = script[:place] + other + script[place + len(piece) :]
        with suppress(ScriptError):  # an end that has gone leaves something open
            assert before != fingerprint(changed, grammar)

    check()


def test_fingerprint_of_what_cannot_be_cut() -> None:
    """There is none."""
    with pytest.raises(ScriptError):
        fingerprint("SELECT 'a", SQLITE)


# Scripts


def look(text: str, kind: str = "sqlite", **options: Any) -> Script:
    """Inspect a script for a database."""
    dialect = DIALECTS[kind]
    return inspect(text, dialect.grammar, dialect.traits, origin="x.sql", **options)


def run_of(text: str, kind: str = "sqlite") -> list[str]:
    """The statements of a script that are to run."""
    grammar = DIALECTS[kind].grammar
    script = look(text, kind)
    return [s.text for s in statements(text, grammar) if script.first <= s.ordinal <= script.last]


def problems_of(text: str, kind: str = "sqlite", **options: Any) -> list[str]:
    """What is wrong with a script."""
    return [str(problem) for problem in look(text, kind, **options).problems]


@every_dialect
@pytest.mark.parametrize("text", ["", " \n", "-- nothing to do\n", "/* it's; */ ;"])
def test_a_script_of_nothing(kind: str, text: str) -> None:
    """Zero bytes, or comments only: nothing to run, and no problem."""
    script = look(text, kind)

    assert (0, ()) == (script.count, script.problems)
    assert [] == run_of(text, kind)


WRAPPED: dict[str, tuple[str, str]] = {
    "BEGIN": ("BEGIN; a; b; COMMIT;", "sqlite postgresql mariadb"),
    "START TRANSACTION": ("start transaction; a; b; commit", "postgresql mariadb"),
    "among comments": ("-- one\nBEGIN; -- two\na; b; /* three */ COMMIT -- four", "sqlite mariadb"),
    "WORK": ("BEGIN WORK; a; b; COMMIT WORK;", "postgresql mariadb"),
    "TRANSACTION": ("BEGIN TRANSACTION; a; b; END TRANSACTION;", "sqlite postgresql"),
    "IMMEDIATE": ("BEGIN IMMEDIATE; a; b; COMMIT TRANSACTION;", "sqlite"),
    "CRLF": ("BEGIN;\r\na;\r\nb;\r\nCOMMIT;\r\n", "sqlite postgresql mariadb"),
}


@cases(WRAPPED)
def test_a_wrapper_is_dropped(case: tuple[str, str]) -> None:
    """BEGIN and COMMIT around a file say what is so anyway: what is between them runs."""
    text, kinds = case
    for kind in kinds.split():
        assert [] == problems_of(text, kind)
        assert ["a", "b"] == run_of(text, kind)
        assert 2 == look(text, kind).count


def test_a_wrapper_around_nothing() -> None:
    """BEGIN and COMMIT with nothing between them leave nothing to run."""
    assert (0, []) == (look("BEGIN; COMMIT;").count, run_of("BEGIN; COMMIT;"))


CONTROL: dict[str, tuple[str, str, list[int]]] = {
    "BEGIN alone": ("\nBEGIN;", "sqlite postgresql mariadb", [2]),
    "COMMIT alone": ("a;\nCOMMIT;", "sqlite postgresql mariadb", [2]),
    "no COMMIT": ("BEGIN;\na;", "sqlite postgresql mariadb", [1]),
    "no BEGIN": ("a;\n\nCOMMIT;", "sqlite postgresql mariadb", [3]),
    "something behind": ("BEGIN;\na;\nCOMMIT;\nb;", "sqlite postgresql mariadb", [1, 3]),
    "something before": ("a;\nBEGIN;\nb;\nCOMMIT;", "sqlite postgresql mariadb", [2, 4]),
    "twice": ("BEGIN;\na;\nCOMMIT;\nBEGIN;\nb;\nCOMMIT;", "sqlite postgresql mariadb", [3, 4]),
    "ROLLBACK": ("BEGIN;\na;\nROLLBACK;", "sqlite postgresql mariadb", [1, 3]),
    "ROLLBACK within": ("BEGIN;\na;\nROLLBACK;\nCOMMIT;", "sqlite postgresql mariadb", [3]),
    "CHAIN": ("BEGIN;\na;\nCOMMIT AND CHAIN;", "postgresql mariadb", [1, 3]),
    "two phases": ("PREPARE TRANSACTION 'a';\nCOMMIT PREPARED 'a';", "postgresql", [1, 2]),
    "XA": ("XA START 'a';\nXA COMMIT 'a';", "mariadb", [1, 2]),
    "autocommit": ("SET autocommit = 0;\na;", "mariadb", [1]),
    "ABORT": ("a;\nABORT;", "postgresql", [2]),
}


@cases(CONTROL)
def test_transaction_control_is_refused(case: tuple[str, str, list[int]]) -> None:
    """Any other transaction control is a problem, with its line."""
    text, kinds, lines = case
    for kind in kinds.split():
        assert lines == [problem.line for problem in look(text, kind).problems]


@every_dialect
def test_savepoints_are_allowed(kind: str) -> None:
    """A savepoint is inside the transaction, and so is the way back to it."""
    text = "SAVEPOINT s; a; ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s;"

    assert [] == problems_of(text, kind)


def test_the_message_says_what_to_do() -> None:
    """A problem names the file and line, the words, and the ways out."""
    [problem] = problems_of("a;\nCOMMIT;")

    assert problem.startswith("x.sql:2: COMMIT in a migration")
    assert "Leave it out" in problem


# SQLite's foreign keys

OFF = "PRAGMA foreign_keys=OFF;"

FOREIGN_KEYS: dict[str, str] = {
    "alone": f"{OFF} a; b;",
    "and on": f"{OFF} a; b; PRAGMA foreign_keys=ON;",
    "and BEGIN": f"{OFF} BEGIN; a; b; COMMIT;",
    "and BEGIN, and on": f"{OFF}\nBEGIN TRANSACTION;\na; b;\nCOMMIT;\nPRAGMA foreign_keys=1;\n",
    "and a check, and on": f"{OFF}\nBEGIN;\na; b;\nCOMMIT;\nPRAGMA foreign_key_check;\nPRAGMA foreign_keys=ON;",
    "in other words": "-- so\npragma main.foreign_keys (0); a; b;",
    "in quotes": "PRAGMA \"foreign_keys\" = 'off'; a; b",
    "the directive": "-- dbmigrate: foreign-keys=off\na; b;",
    "the directive and BEGIN": "-- dbmigrate: foreign-keys=off\nBEGIN; a; b; COMMIT;",
}


@cases(FOREIGN_KEYS)
def test_foreign_keys_off(case: str) -> None:
    """A file that opens with PRAGMA foreign_keys=OFF means the directive; the pragmas do not run."""
    script = look(case)

    assert (True, ()) == (script.foreign_keys_off, script.problems)
    assert ["a", "b"] == run_of(case)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f"a;\n{OFF}", [2]),
        (f"BEGIN;\n{OFF}\na;\nCOMMIT;", [2]),
        ("PRAGMA foreign_keys=ON;\na;", [1]),
        (f"{OFF}\na;\nPRAGMA foreign_keys=ON;\nb;", [3]),
        (f"{OFF}\nBEGIN;\na;\nPRAGMA foreign_keys=ON;\nCOMMIT;", [4]),
    ],
)
def test_foreign_keys_elsewhere(text: str, lines: list[int]) -> None:
    """Anywhere else the pragma would be ignored without a word, so it is a problem."""
    script = look(text)

    assert lines == [problem.line for problem in script.problems]
    assert all("foreign_keys" in problem.reason for problem in script.problems)


def test_asking_for_foreign_keys() -> None:
    """To read the pragma is harmless."""
    assert [] == problems_of("a; PRAGMA foreign_keys; PRAGMA foreign_key_check;")


# Directives


@pytest.mark.parametrize(
    "text",
    [
        "-- dbmigrate: no-transaction\nVACUUM x;",
        "--dbmigrate:no-transaction\r\nVACUUM x;",
        "-- no-transaction\nVACUUM x;",
        "\n/* so */ -- for x\n--no-transaction  \nVACUUM x;",
    ],
)
def test_no_transaction(text: str) -> None:
    """The directive at the head of the file, in our words or SQLx's; or a file beside it."""
    assert look(text, "postgresql").no_transaction
    assert [] == problems_of(text, "postgresql")
    assert look("VACUUM x;", "postgresql", transaction=False).no_transaction
    assert [] == problems_of("VACUUM x;", "postgresql", transaction=False)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("-- dbmigrate: no-transactions\na;", 1, "there are 'no-transaction' and"),
        ("\n-- dbmigrate: foreign_keys=off\na;", 2, "there are 'no-transaction' and"),
        ("a;\n-- dbmigrate: no-transaction\nb;", 2, "above the first statement"),
        ("a\n-- dbmigrate: no-transaction\n;", 2, "above the first statement"),
        ("-- dbmigrate:\na", 1, "unknown directive ''"),
        ("VACUUM x;\n-- no-transaction\n", 1, "cannot run in a transaction"),
        ("-- no-transaction\nBEGIN;\na;\nCOMMIT;", 2, "keep one of the two"),
        ("-- no-transaction\n-- dbmigrate: foreign-keys=off\na;", None, "keep one of the two"),
    ],
)
def test_directives_that_make_no_sense(text: str, line: int | None, reason: str) -> None:
    """Unknown, misplaced and contradicting ones are problems."""
    [problem] = look(text, "postgresql").problems

    assert line == problem.line
    assert reason in problem.reason


def test_directives_in_strings_are_none() -> None:
    """Only a comment is a directive."""
    text = "SELECT '\n-- dbmigrate: no-transaction\n';"

    assert (False, ()) == (look(text).no_transaction, look(text).problems)


# Problems


def test_all_problems_are_reported() -> None:
    """One look finds them all; the first statement that cannot be cut ends it."""
    text = "-- dbmigrate: nothing\nCOMMIT;\nSAVEPOINT dbmigrate_a;\nRELEASE dbmigrate_a;\nSELECT 'a"

    assert [1, 3, 4, 5] == [problem.line for problem in look(text).problems]


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("postgresql", "a;\n\nCOPY t FROM stdin;\n1\n\\.\n", 3),
        ("postgresql", "a;\n\\i other.sql\n", 2),
        ("mariadb", "a;\n\\. other.sql\n", 2),
        ("sqlite", "a;\n.read other.sql\n", 2),
        ("postgresql", "a;\nSELECT 'b", 2),
    ],
)
def test_what_cannot_be_cut_is_a_problem(kind: str, text: str, line: int) -> None:
    """A script that cannot be cut has its problem, and no fingerprint."""
    script = look(text, kind)

    assert [line] == [problem.line for problem in script.problems]
    assert script.fingerprint == ""


def test_what_a_script_does() -> None:
    """Whether it is atomic and changes the session is told from all of its statements."""
    plain, sets = look("INSERT INTO a VALUES (1)", "mariadb"), look("SET @a = 1; a", "mariadb")
    ddl = look("INSERT INTO a VALUES (1); DROP TABLE a", "mariadb")

    assert (True, None) == (plain.atomic, plain.changes_session)
    assert (True, None) == (look("SELECT 1").atomic, look("SELECT 1").changes_session)
    assert sets.changes_session == "set"
    assert not ddl.atomic
    assert fingerprint("SELECT 1", SQLITE) == look("SELECT 1").fingerprint


def test_problems_cannot_steer_a_terminal() -> None:
    """Control characters are shown, not sent."""
    assert "a\\x1b[2Jb\n\\u2028é" == printable("a\x1b[2Jb\n\u2028é")
    assert "x\\x1b.sql: bad" == str(Problem("x\x1b.sql", None, "bad"))
    assert "x.sql:3: bad" == str(Problem("x.sql", 3, "bad"))
