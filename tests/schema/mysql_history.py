"""A schema of MariaDB with every kind of object, and every option of one that its catalogue tells of.

READER stands for a user and ROLE for a role, which `people` makes.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.conftest import Database

_TABLES: Final = (
    """CREATE TABLE people (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        name VARCHAR(50) NOT NULL DEFAULT 'it''s %s :x \\\\ "n"' COMMENT 'how it''s said',
        email VARCHAR(100) CHARACTER SET latin1 COLLATE latin1_bin,
        born DATE DEFAULT '2000-01-01',
        age INT CHECK (age >= 0),
        score DECIMAL(10, 2) UNSIGNED ZEROFILL,
        kind ENUM('a', 'b''c', 'd,e') NOT NULL DEFAULT 'a',
        flags SET('x', 'y'),
        bits BIT(3) DEFAULT b'101',
        raw BINARY(4) DEFAULT 'ab',
        settings JSON,
        made DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
        seen TIMESTAMP NULL,
        code VARCHAR(40) DEFAULT (CONCAT('a', UUID())),
        full_name VARCHAR(120) AS (CONCAT(name, '/', kind)) VIRTUAL COMMENT 'both',
        doubled INT AS (age * 2) STORED,
        hidden INT INVISIBLE DEFAULT 5,
        packed TEXT COMPRESSED CHARACTER SET latin1 DEFAULT NULL,
        token UUID,
        address INET6,
        note TEXT,
        CHECK (born > '1900-01-01'),
        CHECK (score < 1000),
        CONSTRAINT named CHECK (name <> 'a\\\\''b'),
        UNIQUE (email),
        UNIQUE KEY long_one (note),
        KEY (name),
        KEY (name, born),
        KEY backwards (name(10) DESC, born) COMMENT 'the other way',
        KEY of_hash (age) USING HASH,
        KEY ignored (kind) IGNORED,
        FULLTEXT KEY words (name, note)
    ) COMMENT 'all''s there' ROW_FORMAT = DYNAMIC STATS_PERSISTENT = 0""",
    "CREATE TABLE teams (id INT PRIMARY KEY, boss BIGINT UNSIGNED, name VARCHAR(20)) COLLATE latin1_swedish_ci",
    """CREATE TABLE members (
        team INT NOT NULL, person BIGINT UNSIGNED NOT NULL, since DATE, PRIMARY KEY (team, person),
        FOREIGN KEY (team) REFERENCES teams (id) ON DELETE CASCADE,
        CONSTRAINT who FOREIGN KEY (person) REFERENCES people (id) ON UPDATE CASCADE ON DELETE RESTRICT
    )""",
    """CREATE TABLE pairs (
        team INT, person BIGINT UNSIGNED, FOREIGN KEY (team, person) REFERENCES members (team, person)
    )""",
    "CREATE TABLE compared (a INT, b INT, CONSTRAINT ordered CHECK (a < b))",
    # Names of every sort.
    """CREATE TABLE `Odd "names" of` (
        `order` INT, `a``b` INT, `per % cent` INT, `:colon` INT, `dot.ted` INT, `ключ` INT, `x(3) DESC` INT, `it's` INT,
        `Mixed` INT AS (`a``b` + `per % cent`) VIRTUAL,
        PRIMARY KEY (`order`, `x(3) DESC`), KEY `key, with` (`dot.ted`, `it's`), KEY (`a``b`, `x(3) DESC`),
        UNIQUE (`:colon`),
        CONSTRAINT `che'ck % :x` CHECK (`a``b` > 0), CHECK (`it's` <> 5),
        CONSTRAINT `for.eign` FOREIGN KEY (`ключ`) REFERENCES `teams` (`id`)
    ) COMMENT 'semicolon; -- no comment'""",
)
_OTHER_TABLES: Final = (
    "CREATE TABLE memory (a INT, b INT, KEY trees USING BTREE (a), KEY hashes (b)) ENGINE = MEMORY MAX_ROWS = 100",
    "CREATE TABLE places (at POINT NOT NULL, area GEOMETRY NOT NULL, SPATIAL KEY (area)) ENGINE = Aria",
    "CREATE TABLE pages (a INT) PAGE_COMPRESSED = 1 PAGE_COMPRESSION_LEVEL = 3",
    "CREATE TABLE small (a VARCHAR(10)) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 4",
    """CREATE TABLE kept (id INT PRIMARY KEY, forgotten INT WITHOUT SYSTEM VERSIONING, boss INT,
        CONSTRAINT of_kept FOREIGN KEY (boss) REFERENCES teams (id)) WITH SYSTEM VERSIONING""",
    """CREATE TABLE told (
        id INT PRIMARY KEY, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,
        till TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, till)
    ) WITH SYSTEM VERSIONING
    PARTITION BY SYSTEM_TIME LIMIT 1000 (PARTITION old HISTORY, PARTITION older HISTORY, PARTITION now CURRENT)""",
    """CREATE TABLE rolled (id INT, x INT) WITH SYSTEM VERSIONING
    PARTITION BY SYSTEM_TIME INTERVAL 1 MONTH AUTO""",
    """CREATE TABLE booked (
        room INT NOT NULL, starts DATE, ends DATE, PERIOD FOR stay (starts, ends),
        CONSTRAINT once UNIQUE (room, stay WITHOUT OVERLAPS)
    )""",
)
_PARTITIONED: Final = (
    """CREATE TABLE by_year (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (
        PARTITION p0 VALUES LESS THAN (2000) COMMENT = 'it''s old', PARTITION p1 VALUES LESS THAN MAXVALUE
    )""",
    """CREATE TABLE by_two (a INT, b VARCHAR(5)) PARTITION BY RANGE COLUMNS (a, b) (
        PARTITION `low 1` VALUES LESS THAN (1, 'x'), PARTITION high VALUES LESS THAN (MAXVALUE, MAXVALUE)
    )""",
    """CREATE TABLE by_list (a INT) PARTITION BY LIST (a) (
        PARTITION few VALUES IN (1, 2, NULL), PARTITION many DEFAULT
    )""",
    """CREATE TABLE by_names (a VARCHAR(5), b INT) PARTITION BY LIST COLUMNS (a, b) (
        PARTITION x VALUES IN (('x', 1), ('y', 2)), PARTITION rest DEFAULT
    )""",
    "CREATE TABLE by_no (a INT) PARTITION BY LIST (a) (PARTITION no VALUES IN (0), PARTITION one VALUES IN (1))",
    "CREATE TABLE by_hash (a INT) PARTITION BY LINEAR HASH (a) PARTITIONS 4",
    "CREATE TABLE by_key (a INT PRIMARY KEY) PARTITION BY KEY () (PARTITION one, PARTITION two COMMENT = 'second')",
    """CREATE TABLE by_both (a INT, b INT) PARTITION BY RANGE (a) SUBPARTITION BY KEY (b) (
        PARTITION p VALUES LESS THAN (1) (SUBPARTITION s1, SUBPARTITION s2 COMMENT = 'w'),
        PARTITION q VALUES LESS THAN (9) (SUBPARTITION s3, SUBPARTITION s4)
    )""",
)
SEQUENCES: Final = (
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 2 MINVALUE 0 MAXVALUE 1000 CACHE 7 CYCLE COMMENT 'even''s not'",
    "CREATE SEQUENCE plain",
    "CREATE SEQUENCE down START WITH -1 INCREMENT BY -1 NOCACHE",
)
_LATER: Final = (
    "CREATE TABLE counted (id BIGINT DEFAULT NEXTVAL(numbers) PRIMARY KEY, b INT DEFAULT (NEXT VALUE FOR plain))",
    "ALTER TABLE teams ADD CONSTRAINT leads FOREIGN KEY (boss) REFERENCES people (id) ON DELETE SET NULL",
    "ALTER TABLE teams ADD parent INT, ADD FOREIGN KEY (parent) REFERENCES teams (id)",
    "ALTER TABLE people DROP COLUMN raw, ADD COLUMN extra INT DEFAULT 7 AFTER id",
)
ROUTINES: Final = (
    """CREATE FUNCTION shout(t VARCHAR(20), n INT UNSIGNED) RETURNS VARCHAR(30) CHARSET latin1 DETERMINISTIC NO SQL
    COMMENT 'it''s loud' RETURN CONCAT(UPPER(t), REPEAT('!', n))""",
    """CREATE FUNCTION both_ways(IN a INT, INOUT b ENUM('x', 'y')) RETURNS SET('p', 'q''r') READS SQL DATA
    BEGIN
        SET b = 'y'; -- changes it
        RETURN 'p';
    END""",
    """CREATE AGGREGATE FUNCTION total(x INT) RETURNS INT
    BEGIN
        DECLARE s INT DEFAULT 0;
        DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s;
        LOOP FETCH GROUP NEXT ROW; SET s = s + x; END LOOP;
    END""",
    """CREATE PROCEDURE work(IN a INT, OUT `b c` VARCHAR(10), INOUT `out` DECIMAL(5, 2)) MODIFIES SQL DATA
    SQL SECURITY INVOKER COMMENT 'does work'
    BEGIN
        IF a > 0 THEN INSERT INTO teams (id) VALUES (a); END IF;
        SELECT ';;', '//' INTO `b c`, `b c`;
    END""",
    "CREATE PROCEDURE idle() BEGIN END",
    "CREATE DEFINER = 'root'@'localhost' PROCEDURE rooted() SELECT 'dollar $$ smile 😀 or ?'",
    "CREATE PROCEDURE `odd ``name``% :x`(`a'b` INT) SELECT `a'b`",
)
_VIEWS: Final = (
    "CREATE VIEW grown AS SELECT id, name FROM people WHERE age >= 18",
    """CREATE VIEW loud AS SELECT g.id, shout(g.name, 2) AS said, 'grown.`x`' AS literal
    FROM grown g, teams WHERE g.id = boss""",
    """CREATE VIEW above AS SELECT l.id, people.name
    FROM loud l JOIN people ON people.id = l.id LEFT JOIN teams t ON t.boss = l.id""",
    """CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW old AS SELECT * FROM people WHERE age > 60
    WITH LOCAL CHECK OPTION""",
    "CREATE VIEW older (a, `b c`) AS SELECT id, name FROM old WHERE age > 80 WITH CASCADED CHECK OPTION",
    "CREATE DEFINER = 'root'@'localhost' VIEW of_root AS SELECT 1 AS one, 'smile 😀😀😀😀😀😀😀😀😀😀?' AS s",
    "CREATE VIEW moving AS SELECT NEXTVAL(plain) AS n",
    "CREATE VIEW walk AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT n FROM c",
    'CREATE VIEW `odd``view %s` AS SELECT `a``b` AS `:x`, EXTRACT(YEAR FROM NOW()) AS y FROM `Odd "names" of`',
)
TRIGGERS: Final = (
    "CREATE TRIGGER checked BEFORE INSERT ON people FOR EACH ROW SET NEW.name = TRIM(NEW.name)",
    """CREATE TRIGGER checked_then BEFORE INSERT ON people FOR EACH ROW
    BEGIN
        IF NEW.age < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no; never'; END IF;
    END""",
    "CREATE TRIGGER first_of_all BEFORE INSERT ON people FOR EACH ROW PRECEDES checked SET NEW.born = NEW.born",
    "CREATE TRIGGER logged AFTER UPDATE ON people FOR EACH ROW BEGIN END",
    """CREATE TRIGGER `odd ``one``%` AFTER DELETE ON `Odd "names" of` FOR EACH ROW SET @x = '😀 %s ?'""",
)
EVENTS: Final = (
    "CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM pages",
    """CREATE EVENT nightly ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2035-01-01 03:00:00' ENDS '2036-01-01 00:00:00'
    ON COMPLETION PRESERVE DISABLE COMMENT 'at night''s end' DO BEGIN DELETE FROM pages; DELETE FROM small; END""",
    "CREATE EVENT one_day ON SCHEDULE AT '2035-05-06 07:08:09' DISABLE ON SLAVE DO DELETE FROM pages WHERE a = '😀 ?'",
)
_IN_MODES: Final = (
    "SET sql_mode = 'PIPES_AS_CONCAT,NO_ZERO_DATE'",
    "CREATE PROCEDURE piped() SELECT 'a' || 'b'",
    "CREATE TRIGGER piped BEFORE UPDATE ON people FOR EACH ROW SET NEW.name = NEW.name || '.'",
    "SET sql_mode = DEFAULT",
)
_GRANTS: Final = (
    "GRANT SELECT, INSERT ON people TO READER",
    "GRANT UPDATE (name), SELECT (id, email) ON people TO READER",
    "GRANT SELECT (id) ON teams TO READER",
    "GRANT SELECT ON grown TO READER WITH GRANT OPTION",
    "GRANT DELETE ON people TO ROLE",
)
#: Everything, by theme, in an order in which it can be made. Runs in one session of the default mode.
THEMES: Final = (
    *(_TABLES, _OTHER_TABLES, _PARTITIONED, (*SEQUENCES, *_LATER)),
    *(ROUTINES, _VIEWS, TRIGGERS, EVENTS, _IN_MODES, _GRANTS),
)
HISTORY: Final = tuple(chain(*THEMES))
#: The ways back that `way_back` cannot tell from the statements.
BACK: Final = {
    _LATER[1]: "ALTER TABLE teams DROP FOREIGN KEY leads, DROP KEY leads",
    _LATER[2]: "ALTER TABLE teams DROP FOREIGN KEY teams_ibfk_1, DROP COLUMN parent",
    _LATER[3]: "ALTER TABLE people DROP COLUMN extra, ADD COLUMN raw BINARY(4) DEFAULT 'ab' AFTER bits",
    **dict.fromkeys((_IN_MODES[0], _IN_MODES[-1]), ""),
}
#: Packages cannot be migrated, for only ORACLE has them.
PACKAGES: Final = (
    "SET sql_mode = 'ORACLE'",
    "CREATE PACKAGE tools AS FUNCTION twice(a INT) RETURN INT; PROCEDURE nothing; END",
    """CREATE PACKAGE BODY tools AS
        FUNCTION twice(a INT) RETURN INT AS BEGIN RETURN a * 2; END;
        PROCEDURE nothing AS BEGIN NULL; END;
    END""",
    "CREATE FUNCTION thrice(a IN INT) RETURN INT AS BEGIN RETURN a * 3; END",
    "SET sql_mode = DEFAULT",
)


@contextmanager
def people(database: Database) -> Generator[Callable[[str], str]]:
    """Give what puts a user and a role of this database into a statement; they are gone at the end, with all rights."""
    reader, role = f"{database.name}_reader", f"{database.name}_role"
    database.execute(f"CREATE USER {reader}", f"CREATE ROLE {role}")
    try:
        yield lambda sql: sql.replace("READER", reader).replace("ROLE", role)
    finally:
        database.execute(f"DROP USER {reader}", f"DROP ROLE {role}")
