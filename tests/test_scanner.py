"""Cutting scripts into statements.

Scripts generated from a grammar (sqlgrammar.py) are the main witness: what a server takes whole, by
its own means, it takes cut as well, with the same outcome. The tables by hand are for what a
generator would hardly find.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dbmigrate import scanner
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.dialects.sqlite_grammar import SQLITE
from dbmigrate.scanner import Grammar, ScriptError, position, tokens
from dbmigrate.scanner import statements as cut
from tests import servers, sqlgrammar
from tests.conftest import Database, empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigrate.scanner import Statement, Token

GRAMMARS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mariadb": MYSQL}
SCRIPTS = {
    "sqlite": sqlgrammar.sqlite(),
    "postgresql": sqlgrammar.postgresql(),
    "mariadb": sqlgrammar.mariadb().map(lambda both: both[0]),
}

#: For a longer look: so many times the examples of a default run, and new ones each time.
MORE = int(os.environ.get("DBMIGRATE_EXAMPLES", "0"))


def examples(number: int) -> settings:
    """The settings for a property: the same examples in each run, unless more are asked for."""
    return settings(
        max_examples=number * max(MORE, 1),
        derandomize=not MORE,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def texts(script: str, grammar: Grammar) -> list[str]:
    """The statements of a script, as text."""
    return [statement.text for statement in cut(script, grammar)]


def significant(script: str, grammar: Grammar) -> list[str]:
    """The tokens of a script that are no white space and no comments."""
    return [text for kind, text, _ in tokens(script, grammar) if kind not in ("space", "comment")]


every_grammar = pytest.mark.parametrize("kind", GRAMMARS)


# What is one statement, by hand. In each case the parts at odd places are the statements, and the
# others are what stands between them and is not sent.

Case = tuple[str, ...]


def cases(table: dict[str, Any]) -> pytest.MarkDecorator:
    """Run a test for each entry of a table, under its name."""
    return pytest.mark.parametrize("case", table.values(), ids=list(table))


def check_case(case: Case, grammar: Grammar) -> None:
    """Assert that the statements of a case come out."""
    assert list(case[1::2]) == texts("".join(case), grammar)


ANYWHERE: dict[str, Case] = {
    "nothing": ("",),
    "white space": (" \r\n\t\n",),
    "a comment": ("-- nothing to do; it's\n",),
    "a comment without a line end": ("-- nothing",),
    "a block comment": ("/* it's; */",),
    "semicolons": (" ;;\n; ",),
    "one": ("", "SELECT 1", ";\n"),
    "no last semicolon": ("", "SELECT 1", ";\n", "SELECT 2"),
    "a comment instead of the last semicolon": ("", "SELECT 1", "; ", "SELECT 2", " -- so\n"),
    "CRLF": ("\r\n", "SELECT 1,\r\n 2", "\r\n;\r\n-- it's\r\n", "SELECT 3", ";\r\n"),
    "comments": ("/* ; */ -- ;\n", "SELECT /* ; */ 1 -- ;\n + 1", " /* ; */ ; -- ;"),
    "quotes doubled": ("", "SELECT 'it''s;', ''';''', ''", ";", "SELECT 2"),
    "comments in strings": ("", "SELECT '--', '/*'", "; ", "SELECT '*/'", ";"),
    "quotes in comments": ("", "SELECT 1", "; -- don't\n", "SELECT 2", "; /* \" ' ` */"),
    "a line feed in a string": ("", "SELECT '\n;\n'", ";\n"),
    "stars and slashes": ("/**/", "SELECT 6/2*3", ";/***/", "SELECT 6 /2", ";/**;*/"),
    "minus and comment": ("", "SELECT 1 - -1", ";", "SELECT 2 -- ;\n - 1", ";"),
    "nothing between": ("", "SELECT 1", ";", "SELECT 2", ";", "SELECT 3"),
    "letters of all kinds": ("\n", "SELECT 'ü€😀;' AS é", ";", "SELECT 'Ω'"),
    "control characters": ("", "SELECT '\x01;\x7f'", ";"),
    "a long one": ("", "SELECT 1 + 2 + 3, 4, 5, 'a;b', 6 , 7  ,\n (8)", "  \n ; ", "SELECT 1"),
    "space behind a long one": ("", "SELECT a, b, c, d, e, f FROM t", "  \t\n-- so\n;", "SELECT 1"),
    "line ends that are none": ("", "SELECT '\u2028;'", "; -- \u2028\x85 ;\n", "SELECT 1"),
}


@every_grammar
@cases(ANYWHERE)
def test_what_all_have_in_common(case: Case, kind: str) -> None:
    """What all databases have in common is cut alike."""
    check_case(case, GRAMMARS[kind])


IN_SQLITE: dict[str, Case] = {
    "quotes": ("", 'SELECT [a;\'b], `c;``"d`, "e;""f"', ";", "SELECT 1"),
    "backslashes": ("", "SELECT '\\'", ";", "SELECT ';'"),
    "comments do not nest": ("/* /* */", "SELECT 1", ";"),
    "an open comment ends the file": ("", "SELECT 1", "; /* it's; "),
    "a hash": ("", "SELECT a # ' FROM t;'", ";"),
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
    "a column of type trigger": ("", "CREATE TABLE t (temp trigger)", ";", "SELECT 1", ";"),
    "a table called trigger": ("", "CREATE TABLE trigger (a)", ";", "DROP TRIGGER t", ";"),
    "EXPLAIN": (
        "",
        "EXPLAIN QUERY PLAN CREATE TRIGGER t INSERT ON a BEGIN SELECT 1; END",
        ";",
        "EXPLAIN SELECT 1",
    ),
}


@cases(IN_SQLITE)
def test_sqlite(case: Case) -> None:
    """SQLite's own quotes and triggers."""
    check_case(case, SQLITE)


IN_POSTGRESQL: dict[str, Case] = {
    "escape strings": ("", r"SELECT E'\';', e'\\', '\'", ";", "SELECT ';'"),
    "an E at the end of a word": ("", r"SELECT typE'\', date'\'", ";", "SELECT ';'"),
    "a string goes on": ("", "SELECT E'a'\n  '\\';'", ";", "SELECT 1"),
    "a string goes on behind a comment": ("", "SELECT E'a' -- it's;\r\n\t'\\';'", ";", "SELECT 1"),
    "a plain string goes on": ("", "SELECT 'a'\n'\\'", ";", "SELECT 1"),
    "no string goes on": ("", "SELECT E'a', '\\'", ";", "SELECT 1"),
    "a string goes on in a long one": ("", "SELECT 1,2,3,4,5,6, E'a'\n'\\';'", ";", "SELECT 1"),
    "unicode": ("", "SELECT U&'\\0061;''', U&\"d\\0061;\"\"\"", ";", "SELECT 1"),
    "bits": ("", "SELECT B'1', x'1F'", ";", "SELECT 1"),
    "dollars": ("", "SELECT $$;'$$, $a$ $$ ; $b$ $a$, $é_1$;$é_1$", ";", "SELECT 1"),
    "dollars in names": ("", "SELECT a$b$, c$b$", ";", "SELECT 1"),
    "dollars behind numbers": ("", "PREPARE p AS SELECT $1, $2", ";", "SELECT 1"),
    "a quote behind a number": ("", "SELECT 1$a$;$a$, $1$$;'$$, 1e5$b$;$b$, a1$a$b$", ";", "SELECT 1"),
    "a quote behind a number in a long one": ("", "SELECT 1,2,3,4,5,6,7, 10$a$;$a$", ";", "SELECT 1"),
    "tags differ in case": ("", "SELECT $a$ $A$ ; $a$", ";", "SELECT 1"),
    "comments nest": ("/* ' /* ; */ ; */", "SELECT 1", " /*/**/;*/;"),
    "operators end at a comment": ("", "SELECT 2 */*;*/ 3 +--;\n 4 @-/* ; */ 5", ";", "SELECT 1"),
    "a rule": (
        "",
        "CREATE RULE r AS ON DELETE TO t DO ALSO (DELETE FROM u; NOTIFY x;)",
        ";",
        "SELECT 1",
    ),
    "BEGIN ATOMIC": (
        "",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
        ";",
        "SELECT 1",
    ),
    "BEGIN ATOMIC of nothing": ("", "CREATE PROCEDURE p() BEGIN ATOMIC END", ";", "SELECT 1"),
    "names in BEGIN ATOMIC": (
        "",
        "create or replace function f(a int) returns int begin atomic"
        " select 1 as end; select a.end, b.case from a, b; select 1 end; select 2; end",
        ";",
        "SELECT 1",
    ),
    "comments in BEGIN ATOMIC": (
        "",
        "CREATE /* ; */ FUNCTION f() RETURNS int BEGIN -- ;\n ATOMIC SELECT 1; -- END;\n END",
        ";",
        "SELECT 1",
    ),
    "no BEGIN ATOMIC": (
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
    "a body in a string": (
        "",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2;'",
        ";",
        "DO $do$ BEGIN PERFORM $$;$$; END $do$",
        ";",
    ),
    "COPY with files": (
        "",
        "COPY t FROM '/tmp/stdin'",
        ";",
        "COPY t (stdin) TO STDOUT",
        ";",
        "COPY (SELECT a FROM stdin) TO '/tmp/x'",
        ";",
    ),
}


@cases(IN_POSTGRESQL)
def test_postgresql(case: Case) -> None:
    """PostgreSQL's own strings, comments, rules and bodies."""
    check_case(case, POSTGRESQL)


IN_MARIADB: dict[str, Case] = {
    "backslashes": ("", r"SELECT '\';', 'a\\', ''';'", ";", 'SELECT "\\";"', ";"),
    "double quotes": ("", 'SELECT ";", """;", "\'"', ";", "SELECT 1"),
    "backticks": ("", "SELECT `a;``\"'`", ";", "SELECT `\\`", ";"),
    "NULL": ("", "INSERT INTO t VALUES (\\N, 1)", ";"),
    "hashes": ("# don't; `\n", "SELECT 1", " # it's;\n; # \"\n", "SELECT 2"),
    "dashes without a space": ("", "SELECT 5--1", ";", "SELECT 5 --\n + 1", ";"),
    "dashes at the start": ("--don't\n", "SELECT 1", "; --it's;\n --;\n", "SELECT 2", ";"),
    "comments do not nest": ("/* /* */", "SELECT 1", ";"),
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
    "comments within": ("", "/*!50001 SELECT /* ; */ 1 -- ;\n */", ";", "SELECT 1"),
    "a hint": ("", "SELECT /*+ a;b */ 1", ";"),
    "dollars in names": ("", "CREATE TABLE $t (a$$ int, $b int)", ";", "SELECT $$"),
    "DELIMITER": (
        "DELIMITER //\n",
        "SELECT 1",
        " //\ndelimiter $$\n",
        "SELECT 2",
        "$$",
        "SELECT 3",
        " $$\r\n  DeLiMiTeR\t;;  \r\n",
        "SELECT 4",
        ";;\nDELIMITER ;\n",
        "SELECT 5",
        ";",
    ),
    "DELIMITER in quotes": ("DELIMITER '//'\n", "SELECT 1", "//\nDELIMITER ';'\n", "SELECT 2", ";"),
    "DELIMITER and a comment": ("DELIMITER // it's\n", "SELECT 1", "//\nDELIMITER ; -- '\n"),
    "DELIMITER of letters": ("DELIMITER go\n", "SELECT 'go' -- go\n, cate", "go", "ry", "go"),
    "DELIMITER of a hash": ("DELIMITER #\n", "SELECT 1", " #\n", "SELECT 2", "#"),
    "DELIMITER in a string": ("", "SELECT '\nDELIMITER //\n'", ";\n", "SELECT 1", ";"),
    "a delimiter in a string": ("DELIMITER //\n", "SELECT '//', `//`", "/* // */ //"),
    "delimiter as a name": ("", "SELECT\ndelimiter //\n 2", ";", "SELECT 1"),
    "semicolons under a delimiter": (
        "DELIMITER //\n",
        "SELECT 1",
        "; ",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END",
        ";\n//\nDELIMITER ;",
    ),
    "a trigger as mysqldump writes it": (
        "DELIMITER ;;\n",
        "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a"
        " FOR EACH ROW BEGIN\n  SET NEW.b = 1;\nEND */",
        ";;\nDELIMITER ;\n",
        "SELECT 1",
        ";",
    ),
    "another language": (
        "DELIMITER //\n",
        "CREATE PROCEDURE p AS x INT; BEGIN NULL; END",
        "//\n",
        "CREATE PACKAGE q AS PROCEDURE p; END",
        ";\n//",
    ),
    "no routines": (
        "",
        "CREATE TABLE begin (end int, event int, function int)",
        ";",
        "ALTER TABLE begin ADD COLUMN package int",
        ";",
        "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'",
        ";",
        "DROP PROCEDURE begin",
        ";",
        "SET @begin = 1",
        ";",
        "BEGIN",
        ";",
        "BEGIN WORK",
        ";",
    ),
}


@cases(IN_MARIADB)
def test_mariadb(case: Case) -> None:
    """What is MariaDB's and its client's own."""
    check_case(case, MYSQL)


#: Each is one statement, and the server takes it; they stand in the order in which it does.
COMPOUND = """
BEGIN NOT ATOMIC END
BEGIN NOT ATOMIC BEGIN END; END
BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION, NOT FOUND SET @x = if(1,2,3); END
BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLSTATE VALUE '42000', 1062 IF 1 THEN DO 1; END IF; END
BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLWARNING CASE WHEN 1 THEN DO 1; END CASE; DO 1; END
BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLWARNING l: BEGIN END; DO 1; END
BEGIN NOT ATOMIC DECLARE value CONDITION FOR 1062; DECLARE EXIT HANDLER FOR value DO 1; END
BEGIN NOT ATOMIC DECLARE end INT DEFAULT 3; SELECT CASE end WHEN 3 THEN end ELSE 1 END; END
BEGIN NOT ATOMIC DECLARE begin, until, do, atomic INT; SET begin = 4; SET until = 1, do = 2; END
BEGIN NOT ATOMIC DECLARE handler INT; SET handler = 1; SELECT handler; END
BEGIN NOT ATOMIC DECLARE event INT; SELECT event; END
BEGIN NOT ATOMIC DO if(1,2,3); DO repeat('a',3); END
BEGIN NOT ATOMIC SELECT 1 end; SELECT 1 AS end, 2 begin; END
BEGIN NOT ATOMIC REPEAT SET @x = 1; UNTIL CASE WHEN 1 THEN 1 ELSE 0 END END REPEAT; END
BEGIN NOT ATOMIC WHILE if(0,1,0) DO BEGIN END; END WHILE; END
BEGIN NOT ATOMIC FOR r IN (SELECT if(1,2,3) AS a) DO IF r.a THEN DO 1; END IF; END FOR; END
BEGIN NOT ATOMIC DECLARE c CURSOR FOR SELECT CASE WHEN 1 THEN 2 END; OPEN c; CLOSE c; END
BEGIN NOT ATOMIC SET @a = @if + @case; SET @begin = @end; SET @`if` = @'case'; END
BEGIN NOT ATOMIC BEGIN NOT ATOMIC IF 1 THEN DO 1; END IF; END; END
IF 1 THEN DO 1; ELSEIF 2 THEN DO 2; ELSE IF 3 THEN DO 3; END IF; END IF
CASE 1 WHEN 1 THEN DO 1; ELSE BEGIN END; END CASE
WHILE 0 DO DO 1; END WHILE
REPEAT DO 1; UNTIL 1 END REPEAT
FOR i IN 1..2 DO DO i; END FOR
SET STATEMENT max_statement_time = 9 FOR IF 1 THEN DO 1; END IF
SET STATEMENT max_statement_time = 9 FOR BEGIN NOT ATOMIC DO 1; END
SET STATEMENT max_statement_time = 9 FOR CREATE PROCEDURE p0() BEGIN DO 1; DO 2; END
CREATE TABLE begin (end INT, begin INT, `case` INT)
CREATE TABLE row (a INT)
CREATE PROCEDURE begin() BEGIN DO 1; END
CREATE PROCEDURE do() BEGIN DO 1; END
CREATE DEFINER=CURRENT_USER PROCEDURE IF NOT EXISTS p1(IN begin INT, OUT `end` INT) BEGIN DO 1; END
CREATE OR REPLACE PROCEDURE p1() label: BEGIN LEAVE label; END label
CREATE PROCEDURE p2() `if`: BEGIN DO 1; END `if`
CREATE PROCEDURE p3() NO SQL SQL SECURITY INVOKER COMMENT 'BEGIN' l: WHILE 0 DO DO 1; END WHILE l
CREATE PROCEDURE p4() l: LOOP ITERATE l; END LOOP l
CREATE PROCEDURE p5() EXPLAIN SELECT if(1,2,3)
CREATE PROCEDURE p6() SHOW GRANTS FOR CURRENT_USER
CREATE PROCEDURE p7() BEGIN XA BEGIN 'x'; XA END 'x'; START TRANSACTION; COMMIT; END
CREATE PROCEDURE p8() BEGIN CREATE TABLE IF NOT EXISTS x (a INT); DROP TABLE IF EXISTS x; END
CREATE PROCEDURE p9() BEGIN SELECT CASE WHEN 1 THEN begin ELSE end END FROM begin; END
CREATE PROCEDURE q0() BEGIN SELECT end, CASE WHEN end = end THEN 1 END FROM begin; END
CREATE PROCEDURE q1() BEGIN SET @a = replace('a','b','c'), @b = repeat('x', 3); l: BEGIN END; END
CREATE PROCEDURE q2() BEGIN EXECUTE IMMEDIATE 'SELECT 1;'; GET DIAGNOSTICS @x = ROW_COUNT; END
CREATE FUNCTION f0() RETURNS CHAR BEGIN RETURN 'x'; END
CREATE FUNCTION f1() RETURNS VARCHAR(9) CHAR SET utf8mb4 BEGIN RETURN 'x'; END
CREATE FUNCTION f2() RETURNS SET('a','b') DETERMINISTIC BEGIN RETURN 'a'; END
CREATE FUNCTION f3() RETURNS INT RETURN if(1,2,3)
CREATE FUNCTION f4() RETURNS INT RETURN CASE WHEN 1 THEN 2 END
CREATE AGGREGATE FUNCTION f5(x INT) RETURNS INT BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND \
RETURN 1; LOOP FETCH GROUP NEXT ROW; END LOOP; END
CREATE TRIGGER follows BEFORE INSERT ON row FOR EACH ROW BEGIN SET @x = 1; END
CREATE TRIGGER t1 BEFORE INSERT ON row FOR EACH ROW FOLLOWS follows BEGIN SET @x = 1; END
CREATE TRIGGER t2 BEFORE DELETE ON row FOR EACH ROW IF OLD.a THEN SET @x = 1; END IF
CREATE EVENT do ON SCHEDULE EVERY 1 DAY DO BEGIN DO 1; END
CREATE EVENT e1 ON SCHEDULE EVERY if(1,2,3) DAY DISABLE COMMENT 'DO' DO IF 1 THEN DO 1; END IF
ALTER EVENT e1 DO BEGIN DO 1; DO 2; END
ALTER EVENT e1 RENAME TO e2 DO CASE 1 WHEN 1 THEN DO 1; END CASE
ALTER EVENT e2 DISABLE
""".strip().split("\n")


@pytest.mark.parametrize("statement", COMPOUND)
def test_compound_statements(statement: str) -> None:
    """A stored program is one statement, without DELIMITER and with it."""
    assert [statement, "SELECT 1"] == texts(f"{statement};SELECT 1", MYSQL)
    script = f"DELIMITER //\n{statement} //\nDELIMITER ;\nSELECT 1;"
    assert [statement, "SELECT 1"] == texts(script, MYSQL)
    code = f"/*!50003 {statement} */"
    assert [code, "SELECT 1"] == texts(f"{code};SELECT 1", MYSQL)


def test_compound_statements_on_the_server(mariadb: Database) -> None:
    """The server takes these statements as they were cut."""
    with mariadb.connect() as connection, contextlib.closing(connection.cursor()) as cursor:
        for text in texts(";\n".join(COMPOUND), MYSQL):
            cursor.execute(text)
            while cursor.nextset():
                pass


# What is refused: the text, the line, and what the error says.

Refused = tuple[str, int, str]

REFUSED_ANYWHERE: dict[str, Refused] = {
    "a string": ("SELECT 1;\nSELECT 'a;\n\n", 2, "opened here with '"),
    "a name": ('\n\nSELECT "a', 3, 'opened here with "'),
    "a shell command": ("SELECT 1;\n.mode csv\n", 2, "sqlite3 shell"),
}

REFUSED_IN_SQLITE: dict[str, Refused] = {
    "a bracket": ("SELECT\n[a", 2, "opened here with ["),
    "a backtick": ("SELECT `a", 1, "opened here with `"),
    "a trigger": ("\nCREATE TRIGGER t INSERT ON a BEGIN\nSELECT 1;\n", 2, "no END;"),
    "a trigger with END too early": ("CREATE TRIGGER t INSERT ON a BEGIN SELECT 1 END;", 1, "END;"),
}

REFUSED_IN_POSTGRESQL: dict[str, Refused] = {
    "an escape string": ("SELECT 1;\nSELECT E'\\';\n", 2, "opened here with E'"),
    "a string that goes on": ("SELECT E'a'\n'\\';", 2, "opened here with '"),
    "dollars": ("SELECT\n$a$ $A$;", 2, "opened with $a$"),
    "a comment": ("/* /* */\nSELECT 1;", 1, "opened here with /*"),
    "a parenthesis": ("SELECT 1;\nSELECT (\n(2);\nSELECT 3;", 2, "parenthesis"),
    "BEGIN ATOMIC": (
        "CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;\nSELECT CASE 1 WHEN 1 THEN 2;",
        2,
        "BEGIN ATOMIC",
    ),
    "COPY": ("SELECT 1;\n\nCOPY t (a) FROM stdin;\n1\tit's\n\\.\n", 3, "write INSERT"),
    "COPY with options": ("copy t from STDIN WITH (FORMAT csv);\n1,2\n", 1, "write INSERT"),
    "COPY BINARY at the end": ("COPY BINARY t FROM STDIN", 1, "write INSERT"),
    "a command": ("SELECT 1;\n\\copy t FROM 'x'\n", 2, r"\\copy t FROM"),
    "a command of pg_dump": ("\\restrict abc\nSELECT 1;", 1, "psql"),
    "a command behind a statement": ("SELECT 1 \\gset\n", 1, "psql"),
    "a semicolon behind a backslash": ("SELECT 1 \\; SELECT 2;", 1, "psql"),
}

REFUSED_IN_MARIADB: dict[str, Refused] = {
    "a backslashed string": ("SELECT 1;\nSELECT '\\';", 2, "opened here with '"),
    "a backtick": ("SELECT `a", 1, "opened here with `"),
    "a comment": ("SELECT 1;\n/* it's", 2, "opened here with /*"),
    "an executable comment": ("SELECT 1;\n/*!40101 SET @a = 1;\nSELECT 2;", 2, "/*!"),
    "statements in one": ("/*!40101 SELECT 1; SELECT 2 */;", 1, "/*!"),
    "an executable comment at the end": ("\n/*!40101 SELECT 1", 2, "/*!"),
    "a block": ("CREATE PROCEDURE p()\nBEGIN\nIF 1 THEN\nSELECT 1;\nEND;", 2, "DELIMITER"),
    "an IF": ("CREATE PROCEDURE p()\nBEGIN\nIF 1 THEN\nSELECT 1;", 3, "DELIMITER"),
    "no delimiter": ("SELECT 1;\nDELIMITER\nSELECT 2;", 2, "as in: DELIMITER //"),
    "no space": ("DELIMITER//\nSELECT 2//", 1, "as in: DELIMITER //"),
    "a backslash as delimiter": ("DELIMITER \\\nSELECT 2\\", 1, "as in: DELIMITER //"),
    "a quote as delimiter": ("DELIMITER '\nSELECT 2'", 1, "as in: DELIMITER //"),
    "a delimiter too long": ("DELIMITER " + "x" * 16, 1, "at most 15"),
    "DELIMITER within a line": ("SELECT 1;\nSELECT 2; DELIMITER //", 2, "first in its line"),
    "DELIMITER behind a comment": ("/*\n*/ DELIMITER //", 2, "first in its line"),
    "Oracle's procedures": ("CREATE PROCEDURE p\nAS x INT; BEGIN NULL; END;", 2, "ORACLE"),
    "Oracle's triggers": (
        "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW\nDECLARE x INT; BEGIN NULL; END;",
        2,
        "ORACLE",
    ),
    "packages": ("CREATE OR REPLACE\nPACKAGE q AS PROCEDURE p; END;", 2, "ORACLE"),
    "a command": ("SELECT 1;\n\\. other.sql\n", 2, "mysql client"),
    "another end": ("SELECT 1\\G\n", 1, "mysql client"),
}


def check_refused(case: Refused, grammar: Grammar) -> None:
    """Assert that a text is refused in its line, for its reason."""
    text, line, reason = case

    with pytest.raises(ScriptError) as caught:
        texts(text, grammar)

    assert line == caught.value.line
    assert reason in caught.value.reason


@every_grammar
@cases(REFUSED_ANYWHERE)
def test_refused_anywhere(case: Refused, kind: str) -> None:
    """What nothing closes is refused at its beginning."""
    check_refused(case, GRAMMARS[kind])


@cases(REFUSED_IN_SQLITE)
def test_refused_in_sqlite(case: Refused) -> None:
    """SQLite: what cannot be cut for certain is refused with its line."""
    check_refused(case, SQLITE)


@cases(REFUSED_IN_POSTGRESQL)
def test_refused_in_postgresql(case: Refused) -> None:
    """PostgreSQL: so are the psql client's commands and rows of data."""
    check_refused(case, POSTGRESQL)


@cases(REFUSED_IN_MARIADB)
def test_refused_in_mariadb(case: Refused) -> None:
    """MariaDB: so is what only the client, or another sql_mode, understands."""
    check_refused(case, MYSQL)


def test_what_came_before_an_error_is_yielded() -> None:
    """The statements before the one that is refused come out first."""
    found = cut("SELECT 1; SELECT 2; SELECT 'x", SQLITE)

    assert [next(found).text, next(found).text] == ["SELECT 1", "SELECT 2"]
    with pytest.raises(ScriptError, match="line 1, column 28: the quote"):
        next(found)


def test_statements_know_their_place_and_head() -> None:
    """A statement has its number, offset, line, column, and its first words in upper case."""
    script = "-- é\r\n\r\nselect 1; \tInsert into \"T\" values\n(1, 'a', b.c);\n"

    found = [(s.ordinal, s.offset, s.line, s.column, s.head) for s in cut(script, POSTGRESQL)]

    head = ("INSERT", "INTO", '"T"', "VALUES", "(", "1", ",", "'a'")
    assert [(1, 8, 3, 1, ("SELECT", "1")), (2, 19, 3, 12, head)] == found


# Any text at all


NASTY = [
    *("'", "''", '"', "`", "[", "]", ";", ";", "--", "-- ", "#", "/*", "*/", "/*!", "/*!50003 "),
    *("$$", "$a$", "$", "E'", "e'", "U&'", "x'", "\\", "\\'", "\\N", "\n", "\n", "\r\n", " ", "\t"),
    *("(", ")", ".", ":", "@", "-", "+", "/", "*", "1", ".5", "1e", "..", "é", "\u2028", "€", "\x00"),
    *("BEGIN ", "END ", "END", "CASE ", "IF ", "THEN ", "LOOP ", "DO ", "FOR ", "UNTIL ", "HANDLER "),
    *("CREATE TRIGGER t ", "CREATE FUNCTION f() ", "CREATE PROCEDURE p() ", "BEGIN ATOMIC "),
    *("CREATE EVENT e ", "EACH ROW ", "DECLARE ", "COPY ", "FROM stdin", "SET STATEMENT ", "NOT "),
    *("DELIMITER //\n", "\nDELIMITER ;\n", "//", "\nDELIMITER go ", "go", "AS ", "SELECT 1, 2, 3 "),
]
NONSENSE = st.lists(st.sampled_from(NASTY), max_size=40).map("".join)


@every_grammar
@examples(400)
@given(text=NONSENSE | st.text(max_size=50))
def test_tokens_joined_are_the_text(text: str, kind: str) -> None:
    """The tokens joined are the text; up to the place of the error where one is raised."""
    found: list[Token] = []
    problem = None
    try:
        found.extend(tokens(text, GRAMMARS[kind]))
    except ScriptError as error:
        problem = error
    joined = "".join(piece for _, piece, _ in found)

    assert text.startswith(joined)
    if problem is None:
        assert len(text) == len(joined)
    else:
        assert position(text, len(joined)) == (problem.line, problem.column)
        assert len(joined) < len(text)
    assert [len("".join(p for _, p, _ in found[:n])) for n in range(len(found))] == [place for _, _, place in found]
    assert "" not in [piece for _, piece, _ in found]


@every_grammar
@examples(400)
@given(text=NONSENSE)
def test_nothing_is_lost(text: str, kind: str) -> None:
    """Each significant token is in one statement, and each statement is where it says."""
    grammar = GRAMMARS[kind]
    found: list[Statement] = []
    with contextlib.suppress(ScriptError):
        found.extend(cut(text, grammar))

    assert list(range(1, len(found) + 1)) == [s.ordinal for s in found]
    assert [s.text for s in found] == [text[s.offset : s.offset + len(s.text)] for s in found]
    assert [position(text, s.offset) for s in found] == [(s.line, s.column) for s in found]
    assert all(s.head for s in found)
    end = found[-1].offset + len(found[-1].text) if found else 0
    inside = {place for s in found for place in range(s.offset, s.offset + len(s.text))}
    for what, piece, place in tokens(text[:end], grammar):
        if what not in ("space", "comment", "command", "end", "code"):
            assert set(range(place, place + len(piece))) <= inside


# Text that means something


@pytest.mark.parametrize("kind", SCRIPTS)
def test_what_makes_no_difference(kind: str) -> None:
    """CRLF or LF, comments wherever there is white space, a last end that is missing: a script is cut the same."""
    grammar = GRAMMARS[kind]

    @examples(60)
    @given(script=SCRIPTS[kind])
    def check(script: str) -> None:
        pieces = list(tokens(script, grammar))
        whole = texts(script, grammar)

        unix = script.replace("\r\n", "\n")
        there = texts(unix.replace("\n", "\r\n"), grammar)
        assert texts(unix, grammar) == [text.replace("\r\n", "\n") for text in there]

        longer = "".join(f"{piece}-- it's; END\n" if what == "space" else piece for what, piece, _ in pieces)
        commented = [significant(text, grammar) for text in texts(longer, grammar)]
        assert commented == [significant(text, grammar) for text in whole]

        *_, last = [token for token in tokens(f"{script}\n;", grammar) if token[0] == "end"]
        assert whole == texts(script[: last[2]] + script[last[2] + len(last[1]) :], grammar)

    check()


# The servers


def share_of(tally: Counter[str]) -> float:
    """How many of the generated scripts the server took whole."""
    return tally["taken"] / tally.total()


def contents(connection: sqlite3.Connection) -> list[Any]:
    """All that there is in a database of SQLite."""
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    for kind, name, _ in [*found]:
        if kind == "table":
            quoted = name.replace('"', '""')
            found += connection.execute(f'SELECT * FROM "{quoted}"').fetchall()
    return [*found, *connection.execute("PRAGMA user_version").fetchall()]


def test_sqlite_takes_what_was_cut() -> None:
    """SQLite: taken whole by executescript(), taken cut, with the same schema and rows.

    It takes all of the generated scripts. sqlite3.complete_statement() agrees about each end.
    """
    tally: Counter[str] = Counter()

    @examples(300)
    @given(script=sqlgrammar.sqlite())
    def check(script: str) -> None:
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as whole:
            try:
                whole.executescript(script)
            except sqlite3.Error as error:
                tally["refused"] += 1
                event(f"refused: {error}")
                return
            expected = contents(whole)
        tally["taken"] += 1
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as parts:
            for text in texts(script, SQLITE):
                parts.execute(text)
                assert sqlite3.complete_statement(f"{text};")
                ends = [place for kind, _, place in tokens(text, SQLITE) if kind == "end"]
                assert not any(sqlite3.complete_statement(text[: end + 1]) for end in ends)
            assert expected == contents(parts)

    check()
    assert share_of(tally) > 0.99


def test_postgresql_takes_what_was_cut(postgresql: Database) -> None:
    """PostgreSQL: taken whole, taken cut, with the same schema and rows.

    The server takes all of the generated scripts, whole as one string of the simple protocol. psql
    cuts by itself and takes 80 % of them: in BEGIN ATOMIC it takes a name for END or CASE.
    """
    import psycopg

    server, other, third = postgresql.server, postgresql.another(), postgresql.another()
    assert server is not None
    command = ["psql", "-X", "-q", "-h", str(server.socket), "-p", str(server.port)]
    command += ["-U", servers.USER, "-v", "ON_ERROR_STOP=1", "-f-", third.name]
    tally: Counter[str] = Counter()
    by_psql: Counter[str] = Counter()

    @examples(40)
    @given(script=sqlgrammar.postgresql(), also_psql=st.booleans())
    def check(script: str, *, also_psql: bool) -> None:
        for database in (postgresql, other):
            empty(server, database.name)
        try:
            postgresql.execute(script)
        except psycopg.Error as error:
            tally["refused"] += 1
            event(f"refused: {error}")
            return
        tally["taken"] += 1
        other.execute(*texts(script, POSTGRESQL))
        expected = other.dump()
        assert postgresql.dump() == expected
        if also_psql and shutil.which("psql"):
            empty(server, third.name)
            if run(command, script, PGCLIENTENCODING="UTF8"):
                by_psql["refused"] += 1
            else:
                by_psql["taken"] += 1
                assert third.dump() == expected

    check()
    assert share_of(tally) > 0.99
    assert not by_psql or share_of(by_psql) > 0.5


def test_mariadb_takes_what_was_cut(mariadb: Database) -> None:
    """MariaDB: taken whole by its client, taken cut, with the same schema and rows.

    The client takes 99 % of the generated scripts; it loses its way where a comment is the last
    word of an executable one. Without DELIMITER, which the client could not run, the same
    statements are cut from the same script.
    """
    server, other = mariadb.server, mariadb.another()
    client = shutil.which("mariadb") or shutil.which("mysql")
    if client is None:
        pytest.skip("the client of MariaDB is not installed")
    assert server is not None
    tally: Counter[str] = Counter()
    command = [client, "--no-defaults", "--comments", "--default-character-set=utf8mb4"]
    command += [f"--socket={server.socket}", f"--user={servers.USER}", mariadb.name]

    @examples(100)
    @given(scripts=sqlgrammar.mariadb())
    def check(scripts: tuple[str, str]) -> None:
        for database in (mariadb, other):
            empty(server, database.name)
        if problem := run(command, scripts[0]):
            tally["refused"] += 1
            event(f"refused: {problem[-80:]}")
            return
        tally["taken"] += 1
        parts = texts(scripts[0], MYSQL)
        other.execute(*parts)
        assert dump_of(mariadb) == dump_of(other)
        assert parts == texts(scripts[1], MYSQL)

    check()
    assert share_of(tally) > 0.9


def dump_of(database: Database) -> dict[str, list[str]]:
    """What is in a database; the client puts a blank behind each comment."""
    dump = database.dump()
    return {**dump, "": [re.sub(r"\s", "", line) for line in dump[""]]}


def run(command: list[str], script: str, **environment: str) -> str:
    """Run a client program with a script as its input; return what it complains of."""
    result = subprocess.run(
        command,
        input=script.encode(),
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    return result.stderr.decode() or "failed" if result.returncode else ""


def test_mariadb_client_and_dashes(mariadb: Database) -> None:
    """The client takes two dashes where a statement could begin for a comment, and so do we."""
    client = shutil.which("mariadb") or shutil.which("mysql")
    if client is None or mariadb.server is None:
        pytest.skip("the client of MariaDB is not installed")
    script = "--don't;\nCREATE TABLE a (b INT);  --it's\n--;\nCREATE TABLE c (d INT DEFAULT (5--1));\n"
    command = [client, "--no-defaults", "--skip-comments", f"--user={servers.USER}"]

    assert run([*command, f"--socket={mariadb.server.socket}", mariadb.name], script) == ""
    other = mariadb.another()
    other.execute(*texts(script, MYSQL))

    assert mariadb.schema() == other.schema()


# Time and space. The work is counted, not timed: how many characters are looked at.


class Watched(str):
    """A text that counts how many characters a search in it goes over."""

    __slots__ = ("work",)

    work: int

    def find(self, *arguments: Any) -> int:
        """Search, and count what was gone over."""
        found = super().find(*arguments)
        self.work += (len(self) if found < 0 else found) - arguments[1] + 1
        return found

    def rfind(self, *arguments: Any) -> int:
        """Search backwards, and count."""
        found = super().rfind(*arguments)
        self.work += arguments[2] - max(found, arguments[1])
        return found

    def count(self, *arguments: Any) -> int:
        """Count both."""
        self.work += arguments[2] - arguments[1]
        return super().count(*arguments)


class WatchedPattern:
    """An expression that adds the lengths of its matches to the work of the text."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern

    def match(self, text: Watched, place: int) -> re.Match[str] | None:
        """Match, and count the length."""
        found = self.pattern.match(text, place)
        text.work += 1 + (found.end() - place if found else 0)
        return found


def work(text: str, grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many characters were looked at to cut a text."""
    pattern = scanner._pattern

    def watched_pattern(grammar: Grammar, delimiter: str = ";") -> Any:
        return WatchedPattern(pattern(grammar, delimiter))

    watched = Watched(text)
    watched.work = 0
    with monkeypatch.context() as patch, contextlib.suppress(ScriptError):
        patch.setattr(scanner, "_pattern", watched_pattern)
        for _ in cut(watched, grammar):
            pass
    return watched.work


LONG: dict[str, Callable[[int], str]] = {
    "statements": lambda n: "INSERT INTO t VALUES (1, 'a;b');\n" * n,
    "statements in one line": lambda n: "SELECT 'a;b'; " * n,
    "long statements in one line": lambda n: "SELECT 1, 2, 3, 4, 5, 6, 7, 'a', b ; " * n,
    "semicolons": lambda n: ";" * n,
    "parentheses": lambda n: f"SELECT {'(' * n}1{')' * n};",
    "parentheses not closed": lambda n: f"SELECT {'(' * n};",
    "comments": lambda n: "/* ; */" * n,
    "nested comments": lambda n: f"{'/*' * n}{'*/' * n}SELECT 1",
    "nested comments not closed": lambda n: "/*" * n,
    "line comments": lambda n: "-- it's;\n" * n,
    "quotes": lambda n: f"SELECT '{chr(39) * 2 * n}'",
    "quotes not closed": lambda n: "SELECT '" + "''" * n,
    "names": lambda n: 'SELECT "a", ' * n,
    "operators": lambda n: f"SELECT {'+' * n}1{'=' * n}",
    "dots": lambda n: f"SELECT 1{'.' * n}",
    "digits": lambda n: "1" * n,
    "dashes": lambda n: f"SELECT 1{'-' * n}",
    "dollars": lambda n: "SELECT " + "$ $1 " * n,
    "tags not closed": lambda n: "SELECT " + "".join(f"$t{i}$ " for i in range(n)),
    "strings that go on": lambda n: "SELECT E'a'" + "\n'b'" * n,
    "strings that do not go on": lambda n: "SELECT E'a'" + "\n" * n + "x",
    "CASE": lambda n: f"CREATE PROCEDURE p() SELECT {'CASE 1 WHEN ' * n}1{' THEN 2 END' * n};",
    "CASE not closed": lambda n: f"CREATE PROCEDURE p() BEGIN SELECT {'CASE 1 WHEN ' * n};",
    "CASE in BEGIN ATOMIC": lambda n: (
        f"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT {'CASE 1 WHEN ' * n}1{' THEN 2 END' * n}; END;"
    ),
    "BEGIN": lambda n: f"CREATE PROCEDURE p() {'BEGIN ' * n}{'END; ' * n}",
    "BEGIN not closed": lambda n: f"CREATE PROCEDURE p() {'BEGIN ' * n};",
    "BEGIN ATOMIC not closed": lambda n: "CREATE FUNCTION f() BEGIN ATOMIC " + "SELECT 1;" * n,
    "a trigger": lambda n: f"CREATE TRIGGER t INSERT ON a BEGIN {'SELECT 1;' * n} END;",
    "a trigger not closed": lambda n: "CREATE TRIGGER t INSERT ON a BEGIN " + "SELECT 1;" * n,
    "delimiters": lambda n: "DELIMITER //\nSELECT 1//\nDELIMITER ;\nSELECT 1;\n" * n,
    "almost a delimiter": lambda n: "DELIMITER aaaaaaaaaaaaaab\n" + "a" * n,
    "executable comments": lambda n: "/*!50003 SELECT 1 */;" * n,
    "executable comments not closed": lambda n: "/*!50003 " * n,
}


@every_grammar
@cases(LONG)
def test_work_grows_with_the_text(case: Callable[[int], str], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the text is four times the work, give or take a little."""
    small, large = (work(case(n), GRAMMARS[kind], monkeypatch) for n in (500, 2000))

    assert large < 5 * small + 500


DEEP = {
    name: LONG[name]
    for name in LONG
    if "not closed" in name
    or name in ("parentheses", "nested comments", "quotes", "a trigger")
    or name.startswith(("CASE", "BEGIN"))
}


@every_grammar
@cases(DEEP)
def test_depth_does_not_matter(case: Callable[[int], str], kind: str) -> None:
    """Tens of thousands are cut, or refused in the line where they begin; without recursion."""
    depth = 100_000 if case in (LONG["parentheses"], LONG["nested comments"]) else 20_000
    if case is LONG["tags not closed"] and kind != "postgresql":
        case = LONG["dollars"]
    problem = None
    try:
        for _ in cut(case(depth), GRAMMARS[kind]):
            pass
    except ScriptError as error:
        problem = error

    assert problem is None or problem.line == 1


def test_a_hundred_thousand_statements() -> None:
    """A file of 5 MB, half of it in one line, is cut right; the benchmark of the scanner cuts a million."""
    lines = [f"INSERT INTO a (b, c) VALUES ({n:07}, 'it''s; -- {n}')" for n in range(100_000)]
    half = len(lines) // 2
    script = ";\n".join(lines[:half]) + ";\n" + "; ".join(lines[half:]) + "\n"
    assert len(script) > 5_000_000

    count, last = 0, None
    for expected, statement in zip(lines, cut(script, POSTGRESQL), strict=True):
        if expected != statement.text:
            assert expected == statement.text
        count, last = count + 1, statement

    assert last is not None
    assert (100_000, half + 1) == (count, last.line)
    assert last.column == last.offset - script.rindex("\n", 0, -1)


def test_statements_come_one_by_one() -> None:
    """However long the script, no more than one statement of it is held."""
    script = "INSERT INTO t VALUES (1, 'it''s;');\n" * 5_000
    texts("SELECT 1", MYSQL)  # the expressions are compiled once
    tracemalloc.start()
    try:
        for _ in cut(script, MYSQL):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 20_000


def test_examples_are_yielded_lazily() -> None:
    """Nothing is read before it is asked for."""
    found: Iterator[Statement] = cut("SELECT 1; '", SQLITE)

    assert next(found).text == "SELECT 1"
