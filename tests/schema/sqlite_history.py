"""Statements that make every kind of thing that SQLite has, and what a person might do to them by hand."""

from __future__ import annotations

from typing import Final

#: In an order in which they can run; those of one tuple need the ones before it, and not each other.
STATEMENTS: Final = (
    (
        """CREATE TABLE users (
            id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key
            email VARCHAR ( 20 ) NOT NULL ON CONFLICT IGNORE COLLATE NOCASE DEFAULT 'it''s',
            n INT DEFAULT -1 CHECK (n > -2),
            [odd name] "My Type" DEFAULT (1+2),
            full_name TEXT GENERATED ALWAYS AS (email || ' ' || n) STORED,
            twice AS (n*2),
            generated INT,
            created TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            parent INT REFERENCES users ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED NOT NULL,
            CONSTRAINT once UNIQUE (email COLLATE BINARY DESC, n) ON CONFLICT REPLACE,
            UNIQUE (n, generated),
            CHECK (n IN (1,2,3)) CHECK(n <> 4)
        )""",
        'CREATE TABLE codes (a INT, b TEXT, "check" TEXT, PRIMARY KEY (a, b DESC)) WITHOUT ROWID, STRICT',
        "CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize = 'porter ascii')",
        "CREATE VIRTUAL TABLE geo USING rtree(id, minx, maxx)",
        "CREATE TABLE plain (x INT NOT NULL, y)",
    ),
    (
        """CREATE TABLE posts (id INTEGER PRIMARY KEY, author INT, editor INT REFERENCES users,
            CONSTRAINT author FOREIGN KEY (author) REFERENCES users (id)
            ON UPDATE CASCADE ON DELETE NO ACTION MATCH FULL)""",
        """CREATE UNIQUE INDEX by_mail ON users (lower(email), "n" desc, email COLLATE nocase)
            WHERE n IS NOT NULL /* only those */""",
        "CREATE INDEX by_x ON plain (x)",
        "CREATE VIEW names (a, b) AS SELECT id, [email] FROM users WHERE n IN (1, 2) GROUP BY id HAVING count(*) > 1",
        "CREATE VIEW xs AS SELECT x FROM plain UNION SELECT y FROM plain ORDER BY 1",
        """CREATE TRIGGER touched AFTER UPDATE OF email ON users FOR EACH ROW WHEN new.n > 1
            BEGIN UPDATE users SET n = 1 WHERE id = new.id; DELETE FROM plain; END""",
    ),
    (
        "ALTER TABLE posts ADD COLUMN later INT NOT NULL DEFAULT 5",
        "CREATE TRIGGER instead INSTEAD OF INSERT ON names BEGIN SELECT CASE WHEN 1 THEN 2 END; END",
        "CREATE TABLE chosen AS SELECT id, email FROM users",
    ),
)

#: The ways back that `way_back` cannot tell from the statements.
BACK: Final = {"ALTER TABLE posts ADD COLUMN later INT NOT NULL DEFAULT 5": "ALTER TABLE posts DROP COLUMN later"}

_ON = "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, {}, {}) WHERE name = {}"

#: What somebody does by hand; and every line that says what is different then.
DRIFTS: Final = {
    "a table": ("CREATE TABLE more (x)", ["table more is new"]),
    "a dropped table": ("DROP TABLE codes", ["table codes is gone"]),
    "a renamed table": ("ALTER TABLE codes RENAME TO code", ["table code is new", "table codes is gone"]),
    "a column": ("ALTER TABLE codes ADD COLUMN c INT", ["column codes.c is new"]),
    "a dropped column": ("ALTER TABLE posts DROP COLUMN later", ["column posts.later is gone"]),
    "a renamed column": (
        "ALTER TABLE posts RENAME COLUMN later TO then_",
        ["column posts.later is gone", "column posts.then_ is new"],
    ),
    "an index": ("CREATE INDEX ids ON users (generated)", ["index users.ids is new"]),
    "a dropped index": ("DROP INDEX by_x", ["index plain.by_x is gone"]),
    "another column in an index": (
        "DROP INDEX by_x; CREATE INDEX by_x ON plain (y)",
        ["index plain.by_x", "columns: (x) -> (y)"],
    ),
    "an index made unique": (
        "DROP INDEX by_x; CREATE UNIQUE INDEX by_x ON plain (x)",
        ["index plain.by_x", "unique: none -> yes"],
    ),
    "an index made partial": (
        "DROP INDEX by_x; CREATE INDEX by_x ON plain (x) WHERE x > 1",
        ["index plain.by_x", "where: none -> x > 1"],
    ),
    "an index that descends": (
        "DROP INDEX by_x; CREATE INDEX by_x ON plain (x DESC)",
        ["index plain.by_x", "columns: (x) -> (x DESC)"],
    ),
    "the collation of an index": (
        "DROP INDEX by_x; CREATE INDEX by_x ON plain (x COLLATE NOCASE)",
        ["index plain.by_x", "columns: (x) -> (x COLLATE NOCASE)"],
    ),
    "a view": ("CREATE VIEW more AS SELECT 1", ["view more is new"]),
    "a dropped view": ("DROP VIEW xs", ["view xs is gone"]),
    "another view": ("DROP VIEW xs; CREATE VIEW xs AS SELECT 1 AS x", ["view xs", "+ AS SELECT 1 AS x"]),
    "a trigger": ("CREATE TRIGGER t BEFORE DELETE ON users BEGIN SELECT 1; END", ["trigger users.t is new"]),
    "a dropped trigger": ("DROP TRIGGER touched", ["trigger users.touched is gone"]),
    "another body of a trigger": (
        "DROP TRIGGER touched; CREATE TRIGGER touched AFTER UPDATE OF email ON users FOR EACH ROW WHEN new.n > 1 "
        "BEGIN UPDATE users SET n = 2 WHERE id = new.id; DELETE FROM plain; END",
        ["trigger users.touched", "- UPDATE users SET n = 1", "+ UPDATE users SET n = 2"],
    ),
    "another moment of a trigger": (
        "DROP TRIGGER instead; CREATE TRIGGER instead INSTEAD OF DELETE ON names BEGIN "
        "SELECT CASE WHEN 1 THEN 2 END; END",
        ["trigger names.instead", "+ INSTEAD OF DELETE ON names"],
    ),
    "a virtual table": ("CREATE VIRTUAL TABLE more USING fts5(x)", ["virtual table more is new"]),
    "other options of a virtual table": (
        "DROP TABLE docs; CREATE VIRTUAL TABLE docs USING fts5(title, body)",
        ["virtual table docs", "definition: USING fts5"],
    ),
    **{
        what: (_ON.format(repr(old).replace('"', "'"), repr(new).replace('"', "'"), repr(table)), words)
        for what, table, old, new, words in (
            ("a default", "posts", "DEFAULT 5", "DEFAULT 6", ["column posts.later", "default: 5 -> 6"]),
            ("no default", "users", "DEFAULT -1", "", ["column users.n", "default: -1 -> none"]),
            ("nullability", "plain", " NOT NULL", "", ["column plain.x", "not null: yes -> none"]),
            ("a type", "plain", "x INT", "x BIGINT", ["column plain.x", "type: INT -> BIGINT"]),
            ("a length", "users", "( 20 )", "(30)", ["column users.email", "VARCHAR(20) -> VARCHAR(30)"]),
            ("a collation", "users", "NOCASE", "RTRIM", ["column users.email", "NOCASE -> RTRIM"]),
            ("a check", "users", "CHECK(n <> 4)", "", ["check users.(n <> 4) is gone"]),
            ("another check", "users", "n > -2", "n > -3", ["users.(n > -2) is gone", "check users.(n > -3) is new"]),
            ("a constraint's name", "users", "once", "twice", ["users.once is gone", "unique users.twice is new"]),
            ("a key", "users", "(n, gen", "(gen", ["users.(n, generated) is gone", "unique users.(generated) is new"]),
            ("a conflict", "users", "REPLACE", "FAIL", ["unique users.once", "on conflict: REPLACE -> FAIL"]),
            ("autoincrement", "users", "AUTOINCREMENT", "", ["primary key users.(id)", "autoincrement: yes -> none"]),
            ("a generated column", "users", "n*2", "n*3", ["column users.twice", "generated: n * 2 -> n * 3"]),
            ("stored", "users", "STORED", "VIRTUAL", ["column users.full_name", "stored: yes -> none"]),
            ("on delete", "users", "SET NULL", "CASCADE", ["foreign key users.(parent)", "SET NULL -> CASCADE"]),
            ("on update", "posts", "UPDATE CASCADE", "UPDATE SET NULL", ["foreign key posts.author", "on update"]),
            ("deferred", "users", "INITIALLY DEFERRED", "", ["foreign key users.(parent)", "deferred: yes -> none"]),
            ("a reference", "posts", "INT REFERENCES users", "INT", ["foreign key posts.(editor) is gone"]),
            ("another reference", "posts", "editor INT REFERENCES users", "editor INT REFERENCES codes",
             ["foreign key posts.(editor)", "references: users -> codes"]),
            ("strict", "codes", ", STRICT", "", ["table codes", "strict: yes -> none"]),
            ("the order of a key", "codes", "b DESC", "b", ["(a, b DESC) is gone", "primary key codes.(a, b) is new"]),
        )
    },
}  # fmt: skip
