# ruff: noqa: E501 - a table, a line each
"""What somebody may do by hand to the schema of the history of MariaDB."""

from __future__ import annotations

from typing import Final, NamedTuple


class Drift(NamedTuple):
    """A change by hand, and what must be said of it."""

    name: str
    sql: tuple[str, ...]
    #: The things that changed, and no others.
    named: tuple[str, ...]
    words: tuple[str, ...]


def drift(name: str, sql: str | tuple[str, ...], named: str | tuple[str, ...], *words: str) -> Drift:
    """Return a drift."""
    return Drift(name, (sql,) if isinstance(sql, str) else sql, (named,) if isinstance(named, str) else named, words)


_FEWER: Final = "PARTITION p0 VALUES LESS THAN (1999), PARTITION p1 VALUES LESS THAN MAXVALUE"
DRIFTS: Final = (
    drift("a new table", "CREATE TABLE fresh (a INT, KEY (a))", "table fresh", "is new"),
    drift("a table that is gone", "DROP TABLE places", "table places", "is gone"),
    drift("a renamed table", "RENAME TABLE pages TO sheets", ("table pages", "table sheets"), "is gone", "is new"),
    drift("an engine", "ALTER TABLE compared ENGINE = Aria", "table compared", "engine: InnoDB -> Aria"),
    drift("a comment of a table", "ALTER TABLE people COMMENT 'new'", "table people", "comment: all's there -> new"),
    drift("a collation of a table", "ALTER TABLE pages COLLATE utf8mb4_bin", "table pages", "-> utf8mb4_bin"),
    drift("an option of a table", "ALTER TABLE people STATS_PERSISTENT = 1", "table people", "stats_persistent=1"),
    drift("a row format", "ALTER TABLE people ROW_FORMAT = COMPACT", "table people", "row_format=COMPACT"),
    drift("no more versions", "ALTER TABLE kept DROP SYSTEM VERSIONING", ("table kept", "column kept.forgotten"), "system versioned: yes -> none"),
    drift("a new column", "ALTER TABLE people ADD x INT", "column people.x", "is new", "type int(11)"),
    drift("a column that is gone", "ALTER TABLE people DROP token", "column people.token", "is gone", "type uuid"),
    drift("a renamed column", "ALTER TABLE people RENAME COLUMN token TO t", ("column people.t", "column people.token"), "is gone"),
    drift("a type", "ALTER TABLE people MODIFY age BIGINT CHECK (age >= 0)", "column people.age", "int(11) -> bigint(20)"),
    drift("a length", "ALTER TABLE people MODIFY code VARCHAR(41) DEFAULT (CONCAT('a', UUID()))", "column people.code", "(40) -> varchar(41)"),
    drift("a sign", "ALTER TABLE pages MODIFY a INT UNSIGNED", "column pages.a", "int(11) -> int(10) unsigned"),
    drift("a precision", "ALTER TABLE people MODIFY seen TIMESTAMP(3) NULL", "column people.seen", "-> timestamp(3)"),
    drift("an enum value", "ALTER TABLE people MODIFY kind ENUM('a', 'b''c', 'd,e', 'f') NOT NULL DEFAULT 'a'", ("column people.kind",), "'d,e','f'"),
    drift("a default", "ALTER TABLE people ALTER extra SET DEFAULT 8", "column people.extra", "default: 7 -> 8"),
    drift("no more default", "ALTER TABLE people ALTER extra DROP DEFAULT", "column people.extra", "default: 7 -> none"),
    drift("an expression as default", "ALTER TABLE people ALTER code SET DEFAULT (CONCAT('b', UUID()))", "column people.code", "concat('b',uuid())"),
    drift("not null", "ALTER TABLE people MODIFY token UUID NOT NULL", "column people.token", "not null: none -> yes"),
    drift("null", "ALTER TABLE people MODIFY made DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)", "column people.made", "not null: yes -> none"),
    drift("on update", "ALTER TABLE people MODIFY made DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)", "column people.made", "on update: current_timestamp(3) -> none"),
    drift("a comment of a column", "ALTER TABLE people MODIFY token UUID COMMENT 'secret'", "column people.token", "comment: none -> secret"),
    drift("a collation of a column", "ALTER TABLE people MODIFY token TEXT COLLATE utf8mb4_bin", "column people.token", "collation: none -> utf8mb4_bin"),
    drift("a generated column", "ALTER TABLE people MODIFY doubled INT AS (age * 3) STORED", "column people.doubled", "`age` * 2 -> `age` * 3"),
    drift("virtual instead of stored", ("ALTER TABLE people DROP doubled", "ALTER TABLE people ADD doubled INT AS (age * 2) VIRTUAL"), "column people.doubled", "stored: yes -> none", "virtual: none -> yes"),
    drift("invisible", "ALTER TABLE people MODIFY token UUID INVISIBLE", "column people.token", "invisible: none -> yes"),
    drift("no more auto_increment", ("SET foreign_key_checks = 0", "ALTER TABLE people MODIFY id BIGINT UNSIGNED NOT NULL", "SET foreign_key_checks = 1"), "column people.id", "auto_increment: yes -> none"),
    drift("compressed", "ALTER TABLE people MODIFY packed TEXT CHARACTER SET latin1", "column people.packed", "compressed: yes -> none"),
    drift("versions of a column", ("SET system_versioning_alter_history = keep", "ALTER TABLE kept MODIFY forgotten INT WITH SYSTEM VERSIONING"), "column kept.forgotten", "without system versioning: yes -> none"),
    drift("a check of a column", "ALTER TABLE people MODIFY age INT CHECK (age >= 1)", "column people.age", "`age` >= 0 -> `age` >= 1"),
    drift("a check that is gone", "ALTER TABLE people DROP CONSTRAINT named", "check people.named", "is gone"),
    drift("a check that says something else", ("ALTER TABLE people DROP CONSTRAINT named", "ALTER TABLE people ADD CONSTRAINT named CHECK (name <> 'c')"), "check people.named", "`name` <> 'c'"),
    drift("a check without a name", "ALTER TABLE teams ADD CHECK (id > 3)", "check teams.id > 3", "is new"),
    drift("a period", "ALTER TABLE compared ADD c DATE, ADD d DATE, ADD PERIOD FOR p (c, d)", ("table compared", "column compared.c", "column compared.d"), "period: none -> p (c, d)"),
    drift("a primary key", ("ALTER TABLE counted DROP PRIMARY KEY, ADD PRIMARY KEY (id, b)",), ("column counted.b", "primary key counted.PRIMARY"), "(id) -> (id, b)"),
    drift("a new index", "CREATE INDEX fast ON people (seen)", "index people.fast", "is new", "columns (seen)"),
    drift("an index without a name", "ALTER TABLE people ADD KEY (name, seen)", "index people.name, seen", "is new"),
    drift("an index that is gone", "DROP INDEX backwards ON people", "index people.backwards", "is gone"),
    drift("an index that is now unique", "ALTER TABLE people DROP KEY of_hash, ADD UNIQUE of_hash (age)", ("unique people.of_hash", "index people.of_hash"), "is new", "is gone"),
    drift("the columns of an index", "ALTER TABLE people DROP KEY backwards, ADD KEY backwards (name(10) DESC, seen) COMMENT 'the other way'", "index people.backwards", "(name(10) DESC, born) -> (name(10) DESC, seen)"),
    drift("the length of a prefix", "ALTER TABLE people DROP KEY backwards, ADD KEY backwards (name(11) DESC, born) COMMENT 'the other way'", "index people.backwards", "name(11)"),
    drift("the direction of an index", "ALTER TABLE people DROP KEY backwards, ADD KEY backwards (name(10), born) COMMENT 'the other way'", "index people.backwards", "-> (name(10), born)"),
    drift("the comment of an index", "ALTER TABLE people DROP KEY backwards, ADD KEY backwards (name(10) DESC, born)", "index people.backwards", "the other way -> none"),
    drift("an index that is ignored", "ALTER TABLE people ALTER INDEX backwards IGNORED", "index people.backwards", "ignored: none -> yes"),
    drift("the method of an index", "ALTER TABLE memory DROP KEY trees, ADD KEY trees USING HASH (a)", "index memory.trees", "method: none -> HASH"),
    drift("overlaps", "ALTER TABLE booked DROP KEY once, ADD CONSTRAINT once UNIQUE (room)", "unique booked.once", "without overlaps: yes -> none"),
    drift("on delete", ("ALTER TABLE members DROP FOREIGN KEY who", "ALTER TABLE members ADD CONSTRAINT who FOREIGN KEY (person) REFERENCES people (id) ON UPDATE CASCADE ON DELETE CASCADE"), "foreign key members.who", "on delete: none -> cascade"),
    drift("a foreign key that is gone", "ALTER TABLE members DROP FOREIGN KEY who", "foreign key members.who", "is gone", "references people"),
    drift("another referenced table", ("ALTER TABLE kept DROP FOREIGN KEY of_kept", "ALTER TABLE kept ADD CONSTRAINT of_kept FOREIGN KEY (boss) REFERENCES by_int (a)"), ("foreign key kept.of_kept",), "references: teams -> by_int"),
    drift("a partition bound", f"ALTER TABLE by_year PARTITION BY RANGE (YEAR(d)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 ({_FEWER})", "table by_year", "LESS THAN (1999)"),
    drift("a new partition", "ALTER TABLE by_no ADD PARTITION (PARTITION two VALUES IN (2))", "table by_no", "`two` VALUES IN (2)"),
    drift("a default partition", ("ALTER TABLE by_no DROP PARTITION no", "ALTER TABLE by_no ADD PARTITION (PARTITION no DEFAULT)"), "table by_no", "`no` DEFAULT"),
    drift("more partitions", "ALTER TABLE by_hash ADD PARTITION PARTITIONS 1", "table by_hash", "partitions: 4 -> 5"),
    drift("no more partitions", "ALTER TABLE by_list REMOVE PARTITIONING", "table by_list", "partition by: LIST (`a`) -> none"),
    drift("how long versions are kept", "ALTER TABLE rolled PARTITION BY SYSTEM_TIME INTERVAL 2 MONTH AUTO", "table rolled", "INTERVAL 1 MONTH AUTO -> SYSTEM_TIME INTERVAL 2 MONTH AUTO"),
    drift("a limit of versions", "ALTER TABLE told PARTITION BY SYSTEM_TIME LIMIT 2000 (PARTITION old HISTORY, PARTITION older HISTORY, PARTITION now CURRENT)", "table told", "LIMIT 2000"),
    drift("a view", "ALTER VIEW grown AS SELECT id, name FROM people WHERE age >= 21", "view grown", ">= 18 -> ", ">= 21"),
    drift("the security of a view", "ALTER SQL SECURITY INVOKER VIEW walk AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT n FROM c", "view walk", "sql security: none -> INVOKER"),
    drift("the algorithm of a view", "ALTER ALGORITHM = TEMPTABLE VIEW grown AS SELECT id, name FROM people WHERE age >= 18", "view grown", "algorithm: none -> TEMPTABLE"),
    drift("the check option of a view", "ALTER VIEW older (a, `b c`) AS SELECT id, name FROM old WHERE age > 80", "view older", "check option: CASCADED -> none"),
    drift("the definer of a view", "ALTER DEFINER = 'root'@'localhost' VIEW grown AS SELECT id, name FROM people WHERE age >= 18", "view grown", "definer: none -> root@localhost"),
    drift("a character in a view", "ALTER DEFINER = 'root'@'localhost' VIEW of_root AS SELECT 1 AS one, 'smile 😀😀😀😀😀😀😀😀😀😁?' AS s", "view of_root", "😀?", "😁?"),
    drift("a trigger body", ("DROP TRIGGER logged", "CREATE TRIGGER logged AFTER UPDATE ON people FOR EACH ROW SET @x = 1"), "trigger people.logged", "BEGIN END -> SET @x = 1"),
    drift("when a trigger runs", ("DROP TRIGGER logged", "CREATE TRIGGER logged AFTER INSERT ON people FOR EACH ROW BEGIN END"), "trigger people.logged", "AFTER UPDATE -> AFTER INSERT"),
    drift("a trigger that is gone", "DROP TRIGGER logged", "trigger people.logged", "is gone"),
    drift("the order of triggers", ("DROP TRIGGER first_of_all", "CREATE TRIGGER first_of_all BEFORE INSERT ON people FOR EACH ROW SET NEW.born = NEW.born"), ("trigger people.checked", "trigger people.first_of_all"), "follows: first_of_all -> none", "follows: none -> checked_then"),
    drift("the mode of a trigger", ("SET sql_mode = 'NO_ZERO_DATE'", "CREATE OR REPLACE TRIGGER logged AFTER UPDATE ON people FOR EACH ROW BEGIN END", "SET sql_mode = DEFAULT"), "trigger people.logged", "sql mode: (STRICT_TRANS_TABLES", "-> (NO_ZERO_DATE)"),
    drift("the definer of a trigger", "CREATE OR REPLACE DEFINER = 'root'@'localhost' TRIGGER logged AFTER UPDATE ON people FOR EACH ROW BEGIN END", "trigger people.logged", "definer: none -> root@localhost"),
    drift("a routine body", "CREATE OR REPLACE PROCEDURE idle() BEGIN SELECT 1; END", "procedure idle", "BEGIN END -> BEGIN SELECT 1; END"),
    drift("a character in a routine", "CREATE OR REPLACE DEFINER = 'root'@'localhost' PROCEDURE rooted() SELECT 'dollar $$ smile 😁 or ?'", "procedure rooted", "😀 or", "😁 or"),
    drift("a parameter", "CREATE OR REPLACE PROCEDURE `odd ``name``% :x`(`a'b` BIGINT) SELECT `a'b`", "procedure odd `name`% :x", "int(11)) -> (`a'b` bigint(20))"),
    drift("what a function returns", "CREATE OR REPLACE AGGREGATE FUNCTION total(x INT) RETURNS BIGINT BEGIN DECLARE s INT DEFAULT 0; DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN s; LOOP FETCH GROUP NEXT ROW; SET s = s + x; END LOOP; END", "aggregate total", "returns: int(11) -> bigint(20)"),
    drift("no longer deterministic", "CREATE OR REPLACE FUNCTION shout(t VARCHAR(20), n INT UNSIGNED) RETURNS VARCHAR(30) CHARSET latin1 NO SQL COMMENT 'it''s loud' RETURN CONCAT(UPPER(t), REPEAT('!', n))", "function shout", "deterministic: yes -> none"),
    drift("the access to data", "ALTER PROCEDURE idle READS SQL DATA", "procedure idle", "data access: none -> reads sql data"),
    drift("the security of a routine", "ALTER PROCEDURE idle SQL SECURITY INVOKER", "procedure idle", "sql security: none -> INVOKER"),
    drift("the comment of a routine", "ALTER FUNCTION shout COMMENT 'quiet'", "function shout", "comment: it's loud -> quiet"),
    drift("an event", "ALTER EVENT daily DO DELETE FROM small", "event daily", "DELETE FROM pages -> DELETE FROM small"),
    drift("how often an event happens", "ALTER EVENT daily ON SCHEDULE EVERY 2 DAY", "event daily", "every: 1 DAY -> 2 DAY"),
    drift("when an event starts", "ALTER EVENT nightly ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2035-01-01 04:00:00' ENDS '2036-01-01 00:00:00'", "event nightly", "03:00:00 -> 2035-01-01 04:00:00"),
    drift("an event that is disabled", "ALTER EVENT daily DISABLE", "event daily", "disabled: none -> yes"),
    drift("the comment of an event", "ALTER EVENT daily COMMENT 'each day'", "event daily", "comment: none -> each day"),
    drift("an increment", "ALTER SEQUENCE numbers INCREMENT 3", "sequence numbers", "increment: 2 -> 3"),
    drift("a maximum", "ALTER SEQUENCE plain MAXVALUE 500", "sequence plain", "-> 500"),
    drift("a cycle", "ALTER SEQUENCE numbers NOCYCLE", "sequence numbers", "cycle: yes -> none"),
    drift("a new sequence", "CREATE SEQUENCE more", "sequence more", "is new"),
    drift("a right", "GRANT DELETE ON teams TO READER", "grant teams.'READER'@'%'", "(SELECT (id)) -> (DELETE, SELECT (id))"),
    drift("a right on a column", "GRANT UPDATE (boss) ON teams TO READER", "grant teams.'READER'@'%'", "UPDATE (boss)"),
    drift("a right that is gone", "REVOKE DELETE ON people FROM ROLE", "grant people.'ROLE'@''", "is gone"),
    drift("a right to grant", "GRANT SELECT ON people TO READER WITH GRANT OPTION", "grant people.'READER'@'%'", "grant option: none -> yes"),
)  # fmt: skip
