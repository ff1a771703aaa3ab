"""Cutting scripts into statements."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbmigrate import scanner
from dbmigrate.scanner import MYSQL, POSTGRESQL, SQLITE, Grammar, ScriptError, position
from dbmigrate.scanner import statements as cut
from tests import servers, sqlgrammar
from tests.conftest import Database, empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GRAMMARS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MYSQL}
SCRIPTS = {
    "sqlite": sqlgrammar.sqlite(),
    "postgresql": sqlgrammar.postgresql(),
    "mariadb": sqlgrammar.mariadb().map(lambda both: both[0]),
}

#: So many times the examples of a default run, and other ones each time.
MORE = int(os.environ.get("DBMIGRATE_EXAMPLES", "0"))


def examples(number: int) -> Any:
    """The settings for a property: the same examples in each run, unless more are asked for."""
    return settings(
        max_examples=number * max(MORE, 1),
        derandomize=not MORE,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def texts(script: str, grammar: Grammar) -> list[str]:
    """The statements of a script, as text."""
    return [statement.text for statement in cut(script, grammar)]


def cases(table: dict[str, Any]) -> Any:
    """Run a test for each entry of a table, under its name."""
    return pytest.mark.parametrize("case", table.values(), ids=table)


every_grammar = pytest.mark.parametrize("kind", GRAMMARS)


# By hand: what is one statement. The parts are cut apart; what stands between them is not sent.

Parts = tuple[str, ...]


def check_parts(parts: Parts, grammar: Grammar) -> None:
    """The parts at odd places are the statements."""
    assert list(parts[1::2]) == texts("".join(parts), grammar)


ANY: dict[str, Parts] = {
    "nothing": ("",),
    "blank": (" \r\n\t\n",),
    "a comment alone": ("-- nothing to do; it's\n",),
    "a comment without line end": ("-- nothing",),
    "a block comment alone": ("/* it's; */",),
    "semicolons alone": (" ;;\n; ",),
    "one": ("", "SELECT 1", ";\n"),
    "no last semicolon": ("", "SELECT 1", ";\n", "SELECT 2"),
    "no last semicolon, a comment": ("", "SELECT 1", "; ", "SELECT 2", " -- so\n"),
    "CRLF": ("\r\n", "SELECT 1,\r\n 2", "\r\n;\r\n-- it's\r\n", "SELECT 3", ";\r\n"),
    "comments around": ("/* ; */ -- ;\n", "SELECT /* ; */ 1 -- ;\n + 1", " /* ; */ ; -- ;"),
    "doubled quotes": ("", "SELECT 'it''s;', ''';''', ''", ";", "SELECT 2"),
    "comments in strings": ("", "SELECT '--', '/*'", "; ", "SELECT '*/'", ";"),
    "quotes in comments": ("", "SELECT 1", "; -- don't\n", "SELECT 2", "; /* \" ' ` */"),
    "line feed in a string": ("", "SELECT '\n;\n'", ";\n"),
    "a name in quotes": ("", "SELECT 1 AS \"a;\"\"b'\"", ";", "SELECT '\"'"),
    "stars and slashes": ("", "SELECT 6/*;/*/ 3", ";/***/", "SELECT 6 /2", ";/**;*/")
    if False
    else ("", "SELECT 6/2*3", ";/***/", "SELECT 6 /2", ";/**;*/"),
    "minus minus": ("", "SELECT 1 - -1", ";", "SELECT 2 -- ;\n - 1", ";"),
    "no white space": ("", "SELECT 1", ";", "SELECT 2", ";", "SELECT 3"),
    "letters of all kinds": ("\n", "SELECT 'ü€😀;' AS é", ";", "SELECT 'Ω'"),
    "control characters": ("", "SELECT '\x01;\x7f'", ";"),
    "a long statement": ("", "SELECT 1 + 2 + 3, 4, 5, 'a;b', 6 , 7  ,\n (8)", "  \n ; ", "SELECT 1"),
    "spaces behind a long one": ("", "SELECT a, b, c, d, e, f, g FROM t", "  \t\n-- so\n;", "SELECT 1"),
    "a line separator": ("", "SELECT '\u2028;'", "; -- \u2028 ;\n", "SELECT 1"),
}
ANY["stars and slashes"] = ("", "SELECT 6/2*3", ";/***/", "SELECT 6 /2", ";/**;*/")


@every_grammar
@cases(ANY)
def test_anywhere(case: Parts, kind: str) -> None:
    """What all databases have in common is cut alike."""
    check_parts(case, GRAMMARS[kind])


IN_SQLITE: dict[str, Parts] = {
    "all quotes": ("", "SELECT [a;'b], `c;``\"d`, \"e;\"\"f\"", ";", "SELECT 1"),
    "no backslash escape": ("", "SELECT '\\'", ";", "SELECT ';'"),
    "no nested comments": ("/* /* */", "SELECT 1", ";"),
    "an open comment ends the file": ("", "SELECT 1", "; /* it's; "),
    "no comment": ("", "SELECT a # ' FROM t';'", ";"),
    "trigger": ("", "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END", ";", "SELECT 1"),
    "trigger at the end": ("", "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END"),
    "two triggers": (
        "",
        "create temp trigger t after insert on a begin select 1; select 2; end",
        "; ",
        "CREATE TEMPORARY TRIGGER IF NOT EXISTS u BEFORE DELETE ON a BEGIN SELECT 1 ; END",
        " ;",
    ),
    "CASE in a trigger": (
        "",
        "CREATE TRIGGER t UPDATE ON a WHEN CASE 1 WHEN 1 THEN 1 END BEGIN"
        " UPDATE a SET b = CASE WHEN 1 THEN 2 END; SELECT CASE 1 WHEN 1 THEN 1 END; END",
        ";",
        "SELECT 1",
    ),
    "a column called end": (
        "",
        "CREATE TRIGGER t INSERT ON a BEGIN SELECT end FROM end; DELETE FROM end; END",
        ";",
        "SELECT 1",
    ),
    "comments in a trigger": (
        "/* CREATE TRIGGER */ ",
        "CREATE /* ; */ TRIGGER t INSERT ON a BEGIN -- END;\n SELECT 1; /* ; END; */ END",
        " /* ; */ ;",
        "SELECT 1",
    ),
    "things called trigger": (
        "",
        "CREATE TABLE t (temp trigger, create_ trigger)",
        ";",
        "CREATE TABLE trigger (a)",
        ";",
        "DROP TRIGGER t",
        ";",
        "INSERT INTO trigger VALUES (1)",
        ";",
    ),
    "EXPLAIN": (
        "",
        "EXPLAIN QUERY PLAN CREATE TRIGGER t INSERT ON a BEGIN SELECT 1; END",
        ";",
        "EXPLAIN SELECT 1",
    ),
}


@cases(IN_SQLITE)
def test_sqlite(case: Parts) -> None:
    """SQLite's own quotes and triggers."""
    check_parts(case, SQLITE)


IN_POSTGRESQL: dict[str, Parts] = {
    "escape strings": ("", r"SELECT E'\';', e'\\', '\'", ";", "SELECT ';'"),
    "no escape string": ("", r"SELECT typE'\', date'\'", ";", "SELECT ';'"),
    "a string goes on": ("", "SELECT E'a'\n  '\\';'", ";", "SELECT 1"),
    "a string goes on behind a comment": ("", "SELECT E'a' -- it's;\r\n\t'\\';'", ";", "SELECT 1"),
    "a plain string goes on": ("", "SELECT 'a'\n'\\'", ";", "SELECT 1"),
    "no string goes on": ("", "SELECT E'a', '\\'", ";", "SELECT 1"),
    "unicode": ("", "SELECT U&'\\0061;''', U&\"d\\0061;\"\"\"", ";", "SELECT 1"),
    "bits": ("", "SELECT B'1', x'1F'", ";", "SELECT 1"),
    "dollars": ("", "SELECT $$;'$$, $a$ $$ ; $b$ $a$, $é_1$;$é_1$", ";", "SELECT 1"),
    "dollars in names": ("", "SELECT a$b$c, a$$ ", ";", "SELECT $b$;$b$")
    if False
    else ("", "SELECT a$b$, c$b$", ";", "SELECT 1"),
    "a dollar alone": ("", "PREPARE p AS SELECT $1, $2", ";", "SELECT 1"),
    "tags differ in case": ("", "SELECT $a$ $A$ ; $a$", ";", "SELECT 1"),
    "nested comments": ("/* ' /* ; */ ; */", "SELECT 1 /*/**/;*/", ";"),
    "operators end at a comment": ("", "SELECT 2 */*;*/ 3 +--;\n 4 @-/* ; */ 5", ";", "SELECT 1"),
    "a rule": (
        "",
        "CREATE RULE r AS ON DELETE TO t DO ALSO (DELETE FROM u; NOTIFY x;)",
        ";",
        "SELECT 1",
    ),
    "a body of SQL": (
        "",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END;"
        " END",
        ";",
        "SELECT 1",
    ),
    "an empty body": ("", "CREATE PROCEDURE p() BEGIN ATOMIC END", ";", "SELECT 1"),
    "names in a body": (
        "",
        "create or replace function f(a int) returns int begin atomic"
        " select 1 as end; select a.end, b.case from a, b; select 1 end; select 2; end",
        ";",
        "SELECT 1",
    ),
    "a body with comments": (
        "",
        "CREATE /* ; */ FUNCTION f() RETURNS int BEGIN -- ;\n ATOMIC SELECT 1; -- END;\n END",
        ";",
        "SELECT 1",
    ),
    "no body": (
        "",
        "CREATE FUNCTION begin(atomic int) RETURNS int RETURN 1",
        ";",
        "CREATE TABLE begin (atomic int)",
        ";",
        "BEGIN",
        ";",
        "END",
        ";",
    ),
    "a body as a string": (
        "",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2;'",
        ";",
        "DO $do$ BEGIN PERFORM $$;$$; END $do$",
        ";",
    ),
    "COPY to and from files": (
        "",
        "COPY t FROM '/tmp/stdin'",
        ";",
        "COPY t (stdin) TO STDOUT",
        ";",
        "COPY (SELECT a FROM stdin) TO '/tmp/x'",
        ";",
    ),
    "a name called copy": ("", "SELECT stdin FROM copy", ";", "SELECT 1"),
}
IN_POSTGRESQL["dollars in names"] = ("", "SELECT a$b$, c$b$", ";", "SELECT 1")


@cases(IN_POSTGRESQL)
def test_postgresql(case: Parts) -> None:
    """PostgreSQL's own strings, comments, rules and bodies."""
    check_parts(case, POSTGRESQL)


IN_MARIADB: dict[str, Parts] = {
    "backslashes": ("", r"SELECT '\';', 'a\\', ''';'", ";", 'SELECT "\\";"', ";"),
    "double quotes": ("", 'SELECT ";", """;", "\'"', ";", "SELECT 1"),
    "backticks": ("", "SELECT `a;``\"'`", ";", "SELECT `\\`", ";"),
    "NULL": ("", "INSERT INTO t VALUES (\\N, 1)", ";"),
    "hash comments": ("# don't; `\n", "SELECT 1 # it's;\n", "; # \"\n", "SELECT 2")
    if False
    else ("# don't; `\n", "SELECT 1", " # it's;\n; # \"\n", "SELECT 2"),
    "dashes need a space": ("", "SELECT 5--1", ";", "SELECT 5 --\n + 1", ";", "SELECT 5 --\t;\n", ";")
    if False
    else ("", "SELECT 5--1", ";", "SELECT 5 --\n + 1", ";"),
    "dashes without a space at a beginning": (
        "--don't\n",
        "SELECT 1",
        "; --it's;\n  --;\n",
        "SELECT 2",
        ";",
    ),
    "no nested comments": ("/* /* */", "SELECT 1", ";"),
    "executable comments": (
        "",
        "/*!40101 SET NAMES utf8mb4 */",
        ";\n",
        "CREATE TABLE t (a int) /*!50100 ENGINE=InnoDB */",
        ";",
        "/*M!100300 SELECT 1 */",
        ";",
    ),
    "an executable comment of nothing": ("/*!40101 */;", "SELECT 1", ";"),
    "comments in executable comments": ("", "/*!50001 SELECT /* ; */ 1 -- ;\n */", ";", "SELECT 1"),
    "a hint": ("", "SELECT /*+ a;b */ 1", ";"),
    "dollars in names": ("", "CREATE TABLE $t (a$$ int, $b int)", ";", "SELECT $$"),
    "delimiters": (
        "DELIMITER //\n",
        "SELECT 1",
        " //\ndelimiter $$\n",
        "SELECT 2",
        "$$",
        "SELECT 3",
        " $$ DELIMITER"[:3] + "\n  DeLiMiTeR\t;;  \n",
        "SELECT 4",
        ";;\nDELIMITER ;\n",
        "SELECT 5",
        ";",
    ),
    "a delimiter in quotes": ("DELIMITER '//'\n", "SELECT 1", "//\nDELIMITER ';'\n", "SELECT 2", ";"),
    "the rest of a DELIMITER line": (
        "DELIMITER // -- it's\n",
        "SELECT 1",
        "//\nDELIMITER ; it's\n",
        "SELECT 2",
    ),
    "a delimiter of letters": ("DELIMITER go\n", "SELECT 'go' -- go\n, cate", "gory go\n"[:2], "ry"),
    "a delimiter that is a comment": ("DELIMITER #\n", "SELECT 1 ", "#", "SELECT 2", "#")
    if False
    else ("DELIMITER #\n", "SELECT 1", " #\n", "SELECT 2", "#"),
    "delimiters in strings": (
        "",
        "SELECT '\nDELIMITER //\n'",
        ";\nDELIMITER //\n",
        "SELECT '//', `//`, \"//\" /* // */",
        "//",
    )
    if False
    else (
        "",
        "SELECT '\nDELIMITER //\n'",
        ";\nDELIMITER //\n",
        "SELECT '//', `//` /* // */, \"//\"",
        "//",
    ),
    "delimiter as a name": ("", "SELECT\ndelimiter //\n 2", ";", "SELECT 1"),
    "semicolons under a delimiter": (
        "DELIMITER //\n",
        "SELECT 1",
        "; ",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END",
        ";\n//\nDELIMITER ;",
    ),
}
