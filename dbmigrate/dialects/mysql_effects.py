"""What statements of MariaDB and MySQL do to the catalogue, as far as their text tells.

Only forms are known here whose effect always shows in SHOW CREATE, and is there as a whole or not at all. All others,
such as EXCHANGE PARTITION, CREATE OR REPLACE TABLE or CREATE TABLE ... SELECT, are a person's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dbmigrate.dialects.evidence import REPEATABLE, Effect, Said, Words
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.scanner import Statement

#: Things of their own, and how to ask for one of them; the column of the answer that has its definition.
KINDS = {"TABLE": 1, "VIEW": 1, "SEQUENCE": 1, "PROCEDURE": 2, "FUNCTION": 2, "TRIGGER": 2, "EVENT": 3}
_KEYS = ("UNIQUE", "FULLTEXT", "SPATIAL")
_HARMLESS = ("OPTIMIZE", "CHECK", "REPAIR", "GRANT", "FLUSH")
#: Types by the names that SHOW CREATE has for them, and those that it shows as they are written, or with their size.
_TYPES = {"INTEGER": "INT", "BOOL": "TINYINT", "BOOLEAN": "TINYINT", "NUMERIC": "DECIMAL", "DEC": "DECIMAL"}
_SIZED = {"CHAR", "VARCHAR", "BINARY", "VARBINARY", "DECIMAL"}
_PLAIN = {
    *("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DATE", "TIME", "DATETIME", "TIMESTAMP"),
    *("TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"),
    *("ENUM", "SET", "UUID", *_SIZED),
}
#: Words that SHOW CREATE leaves out, or says otherwise.
_LEFT_OUT = (
    *("restrict", "no", "action", "index", "in", "between", "like", "not", "is", "null", "and", "or", "as", "using"),
)
#: What ALTER TABLE may say about how it is to be done.
_MANNERS = ("ALGORITHM", "LOCK", "WAIT", "NOWAIT", "ONLINE", "IGNORE")
#: Options of a table whose value SHOW CREATE has.
_OPTIONS = {
    *("ENGINE", "COMMENT", "ROW_FORMAT", "DEFAULT", "CHARSET", "CHARACTER", "COLLATE", "KEY_BLOCK_SIZE"),
    *("STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "PAGE_COMPRESSED", "ENCRYPTED"),
}
_LINE = re.compile(r"  (?:(CONSTRAINT)|((?:(?:UNIQUE|FULLTEXT|SPATIAL|PRIMARY) )?KEY))?(?: ?(`(?:[^`]|``)+`))?")
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")


def quoted(name: str) -> str:
    """Return a name as SHOW CREATE has it."""
    return f"`{name.replace('`', '``')}`"


def thing(kind: str, names: Sequence[str]) -> str:
    """Return what a thing is called in the evidence."""
    return f"{kind} {'.'.join(map(quoted, names))}"


def _part(table: str, kind: str, name: str) -> str:
    return f"{table} {kind} {quoted(name.lower())}"


def parts(table: str, definition: str) -> dict[str, str]:
    """Return a table and its parts, each with its definition, from what SHOW CREATE TABLE says.

    Without the counter of AUTO_INCREMENT, which rows move.
    """
    found: dict[str, str] = {}
    lines = definition.split("\n")
    end = next((n for n, line in enumerate(lines) if line.startswith(")")), 0)
    for line in lines[1:end]:
        match = _LINE.match(line)
        kind = "column" if match is None or not (match[1] or match[2]) else (match[1] or "KEY").lower()
        name = (match[3] if match is not None and match[3] else "`primary`").lower()
        found[f"{table} {kind} {name}"] = line.strip().rstrip(",")
    return found | {table: _COUNTER.sub("", " ".join(lines[end:])).strip()}


def effect(statement: Statement) -> Effect | None:
    """Say what a statement does to the catalogue. None: nothing there could tell for certain whether it ran."""
    words = Words.of(statement, MYSQL)
    if words.peek() in _HARMLESS:
        return REPEATABLE
    if words.skip("ANALYZE"):
        words.skip_any("NO_WRITE_TO_BINLOG", "LOCAL")
        return REPEATABLE if words.peek() in ("TABLE", "TABLES") else None  # ANALYZE UPDATE runs it
    if words.skip("CREATE"):
        return _create(words)
    if words.skip("DROP"):
        return _drop(words)
    if words.skip("RENAME", "TABLE") or words.skip("RENAME", "TABLES"):
        return _rename(words)
    if words.skip("ALTER"):
        if words.peek() in ("DATABASE", "SCHEMA"):
            return REPEATABLE
        words.skip_any("ONLINE", "IGNORE")
        return _alter(words) if words.skip("TABLE") else None
    return None


def _create(words: Words) -> Effect | None:
    replaces = words.skip("OR", "REPLACE")
    unique = words.peek() == "UNIQUE"
    words.skip_any(*_KEYS)
    if words.skip("INDEX"):
        if words.skip("IF", "NOT", "EXISTS"):
            return REPEATABLE
        index = words.name()
        if words.skip("USING"):
            words.name()
        table = words.names() if words.skip("ON") else []
        if replaces or index is None or not table:
            return None
        key = _part(thing("TABLE", table), "key", index)
        return replace(_of_table(table, appears={key}, names={index}), said={key: _key(words, unique=unique)})
    while words and words.peek() not in KINDS:
        if words.peek() == "TEMPORARY":
            return None
        words.place += 1  # ALGORITHM, DEFINER, SQL SECURITY, AGGREGATE
    kind = words.peek()
    words.place += 1
    if kind in ("TABLE", "SEQUENCE") and (replaces or any(text.upper() == "SELECT" for _, text in words.found)):
        return None
    if kind == "EVENT" and any(text.upper() == "AT" for _, text in words.found):
        return None  # once it has run it is gone, as if it had never been
    if replaces or words.skip("IF", "NOT", "EXISTS"):
        return REPEATABLE
    names = words.names()
    if not names:
        return None
    found = Effect((thing(kind, names),), appears=frozenset({thing(kind, names)}))
    if kind == "TABLE" and words.peek() == "(" and words.peek(1) != "LIKE":
        columns = {_part(thing(kind, names), "column", n): w for w in words.inside().items() if (n := _column(w))}
        return replace(found, said={name: _type(rest) for name, rest in columns.items()}, columns=frozenset(columns))
    if kind in ("TABLE", "SEQUENCE"):
        return found
    return replace(found, said={thing(kind, names): Said(words.said(*_LEFT_OUT))})


def _column(words: Words) -> str | None:
    """Take the name of a column out of what CREATE TABLE has of it. None: it is a key or a constraint."""
    keys = (*_KEYS, "INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK", "PERIOD")
    return None if words.peek() in keys else words.name()


def _type(words: Words) -> Said:
    """Say what of the definition of a column shows as it is written."""
    first = words.peek()
    name = "VARCHAR" if first == "CHARACTER" and words.peek(1) == "VARYING" else _TYPES.get(first, first)
    found = {name.lower()} if name in _PLAIN else set[str]()
    begin = words.place
    if words.peek(1) == "(" and name in _SIZED:
        words.place += 1
        found |= words.inside().said()
    words.place = begin
    while words:
        if words.skip("NOT", "NULL"):
            found.add("not")
        elif words.skip("DEFAULT"):
            found |= {text for _, text in words.found[words.place : words.place + 1] if text.isdigit()}
        else:
            found |= {words.peek().lower()} & {"unsigned", "auto_increment"}
            words.place += 1
    return Said(frozenset(found))


def _key(words: Words, *, unique: bool) -> Said:
    """Say what a key is made of."""
    while words and words.peek() != "(":
        words.place += 1
    columns = words.inside().items()
    return Said(frozenset(word for column in columns for word in column.said("asc", "desc")), unique, len(columns))


def _drop(words: Words) -> Effect | None:
    if words.peek() == "TEMPORARY":
        return None
    if words.skip("INDEX"):
        if words.skip("IF", "EXISTS"):
            return REPEATABLE
        index = words.name()
        table = words.names() if words.skip("ON") else []
        if index is None or not table:
            return None
        return _of_table(table, vanishes={_part(thing("TABLE", table), "key", index)}, names={index})
    kind = "TABLE" if words.peek() == "TABLES" else words.peek()
    words.place += 1
    if kind not in KINDS:
        return None
    if words.skip("IF", "EXISTS"):
        return REPEATABLE
    names = [thing(kind, name) for name in _list(words)]
    return Effect(tuple(names), vanishes=frozenset(names)) if names else None


def _list(words: Words) -> Iterator[list[str]]:
    """Yield the names of a list."""
    while words:
        part = words.to_comma()
        if name := part.names():
            yield name


def _rename(words: Words) -> Effect | None:
    before, now = set[str](), set[str]()
    if words.skip("IF", "EXISTS"):
        return None
    while words:
        part = words.to_comma()
        old = part.names()
        while part and not part.skip("TO"):
            part.place += 1  # WAIT, NOWAIT
        new = part.names()
        if not old or not new:
            return None
        before.add(thing("TABLE", old))
        now.add(thing("TABLE", new))
    if before & now:
        return None  # names that are exchanged
    return Effect((*before, *now), appears=frozenset(now), vanishes=frozenset(before))


def _of_table(
    table: Sequence[str],
    appears: set[str] | None = None,
    vanishes: set[str] | None = None,
    alters: set[str] | None = None,
    names: set[str] | None = None,
) -> Effect:
    return Effect(
        (thing("TABLE", table),),
        frozenset(appears or ()),
        frozenset(vanishes or ()),
        frozenset(alters or ()),
        frozenset(map(quoted, names or ())),
    )


def _is_name(word: str) -> bool:
    return word.upper() not in ("COLUMN", "CONSTRAINT", "IF", "NOT", "EXISTS", *_KEYS, "INDEX", "KEY", "(", ")", ",")


class _Table:
    """What ALTER TABLE does to its table, action by action."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.table = names, thing("TABLE", names)
        self.appears, self.vanishes, self.alters = set[str](), set[str](), set[str]()
        self.either, self.mentioned = set[tuple[str, ...]](), set[str]()
        self.said = dict[str, Said]()
        #: What is added IF NOT EXISTS or dropped IF EXISTS; all names in what is added, and in what is dropped.
        self.optional = list[str]()
        self.words: dict[str, set[str]] = {"ADD": set(), "DROP": set()}
        #: With its columns a key goes, too.
        self.adds_key = self.drops_column = False
        #: Every action so far can be repeated.
        self.repeatable = True

    def effect(self) -> Effect | None:
        """Return all of it together. None: a name is in it twice.

        Columns that are exchanged, or dropped and added as they were, look as if nothing had been done; and whether
        something exists is asked of the table as it was before all of the actions.
        """
        goes = self.vanishes.union(*self.either)
        twice = {part for part in self.appears & goes if part.startswith(f"{self.table} column ")}
        certain = self.appears | goes | self.alters
        crossed = not self.words["ADD"].isdisjoint(self.words["DROP"]) or (self.adds_key and self.drops_column)
        if twice or (self.optional and crossed) or not certain.isdisjoint(self.optional):
            return None
        if self.repeatable:
            return REPEATABLE
        found = _of_table(self.names, self.appears, self.vanishes, self.alters, self.mentioned)
        return replace(found, either=frozenset(self.either), said=self.said)

    def act(self, words: Words) -> bool:
        """Take one action. False: it is none whose effect can be told for certain."""
        first = words.peek()
        if first in _MANNERS:
            return True
        if first in ("FORCE", "CONVERT"):
            return True  # to convert once more changes nothing
        if first in self.words:
            self.words[first] |= {n.strip("`").lower() for kind, n in words.found[1:] if kind == "name" or _is_name(n)}
        act = {"ADD": self._add, "DROP": self._drop, "MODIFY": self._modify, "CHANGE": self._change}.get(first)
        act = act or {"ALTER": self._alter, "RENAME": self._rename}.get(first)
        if act is not None:
            words.place += 1
            return act(words)
        if first in _OPTIONS:
            self.repeatable = False
            self.alters.add(self.table)
            return True
        return False

    def _part(self, kind: str, name: str | None) -> set[str]:
        if name is not None:
            self.mentioned.add(name)
        return {f"{self.table} {kind} *"} if name is None else {_part(self.table, kind, name)}

    def _add(self, words: Words) -> bool:
        constraint = None
        if words.skip("CONSTRAINT"):
            if words.peek() == "IF":
                return False
            if words.peek() not in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
                constraint = words.name()
        first = words.peek()
        if first in ("PERIOD", "SYSTEM"):
            return False
        if first == "PARTITION":
            self.repeatable = False
            self.alters.add(self.table)
            return True
        if words.skip("PRIMARY", "KEY"):
            self.repeatable = False
            (name,) = self._part("key", "primary")
            self.appears.add(name)
            self.said[name] = replace(_key(words, unique=False), unique=None)
            return True
        if words.skip("FOREIGN", "KEY") or words.skip("CHECK"):
            if words.peek() == "IF":
                return False
            self._mention(words)
            self.repeatable = False
            (name,) = self._part("constraint", constraint)
            self.appears.add(name)
            self.said[name] = Said(words.said(*_LEFT_OUT))
            return True
        if first in (*_KEYS, "INDEX", "KEY"):
            return self._add_key(words, constraint)
        if constraint is not None:
            return False
        words.skip("COLUMN")
        return self._add_columns(words)

    def _add_key(self, words: Words, constraint: str | None) -> bool:
        self.adds_key = True
        unique = words.peek() == "UNIQUE"
        words.skip_any(*_KEYS)
        words.skip_any("INDEX", "KEY")
        if words.skip("IF", "NOT", "EXISTS"):
            if (name := words.name()) is not None:
                self.optional += self._part("key", name)
            return True
        name = constraint if words.peek() in ("(", "USING") else words.name()
        self._mention(words)
        self.repeatable = False
        (key,) = self._part("key", name)
        self.appears.add(key)
        self.said[key] = _key(words, unique=unique)
        return True

    def _mention(self, words: Words) -> None:
        """Take note of every name in what is left: a key changes with the columns that it is made of."""
        self.mentioned |= {text.strip("`") for kind, text in words.found[words.place :] if kind in ("word", "name")}

    def _add_columns(self, words: Words) -> bool:
        if words.skip("IF", "NOT", "EXISTS"):
            if (name := words.name()) is not None:
                self.optional += self._part("column", name)
            return name is not None
        columns = [words]
        if words.skip("("):
            inside = Words(MYSQL, words.found[words.place : -1])
            columns = list[Words]()
            while inside:
                columns.append(inside.to_comma())
        self.repeatable = False
        for column in columns:
            if column.peek() in (*_KEYS, "INDEX", "KEY", "PRIMARY", "FOREIGN", "CONSTRAINT", "CHECK"):
                return False
            if (name := column.name()) is None:
                return False
            (part,) = self._part("column", name)
            self.appears.add(part)
            self.said[part] = _type(column)
        return True

    def _drop(self, words: Words) -> bool:
        first = words.peek()
        if first in ("SYSTEM", "PERIOD"):
            return False
        if first == "PARTITION":
            self.repeatable = False
            self.alters.add(self.table)
            return True
        kinds = ["column"]
        if words.skip("PRIMARY", "KEY"):
            self.repeatable = False
            self.vanishes |= self._part("key", "primary")
            return True
        if words.skip("FOREIGN", "KEY") or words.skip("CHECK"):
            kinds = ["constraint"]
        elif words.skip("INDEX") or words.skip("KEY"):
            kinds = ["key"]
        elif words.skip("CONSTRAINT"):
            kinds = ["constraint", "key"]  # a unique key is a constraint too; a foreign key has a key of its name
        else:
            words.skip("COLUMN")
        optional = words.skip("IF", "EXISTS")
        if (name := words.name()) is None:
            return False
        self.mentioned.add(name)
        self.drops_column |= "column" in kinds
        found = tuple(_part(self.table, kind, name) for kind in kinds)
        if optional:
            self.optional += found
        else:
            self.repeatable = False
            self.either.add(found)
        return True

    def _modify(self, words: Words) -> bool:
        words.skip("COLUMN")
        if words.peek() == "IF" or (name := words.name()) is None:
            return False
        self.repeatable = False
        (part,) = self._part("column", name)
        self.alters.add(part)
        self.said[part] = _type(words)
        return True

    def _change(self, words: Words) -> bool:
        words.skip("COLUMN")
        if words.peek() == "IF":
            return False
        old, new = words.name(), words.name()
        if old is None or new is None:
            return False
        self.repeatable = False
        if old.lower() == new.lower():
            self.alters |= self._part("column", old)
        else:
            self.vanishes |= self._part("column", old)
            self.appears |= self._part("column", new)
        (part,) = self._part("column", new)
        self.said[part] = _type(words)
        return True

    def _alter(self, words: Words) -> bool:
        kind = "key" if words.skip("INDEX") or words.skip("KEY") else "column"
        words.skip("COLUMN")
        if words.peek() == "IF" or (name := words.name()) is None:
            return False
        self.repeatable = False
        self.alters |= self._part(kind, name)
        return True

    def _rename(self, words: Words) -> bool:
        kind = "key" if words.skip("INDEX") or words.skip("KEY") else "column" if words.skip("COLUMN") else None
        self.repeatable = False
        if kind is None:
            return False  # with the table all of its parts are renamed: see `_alter`
        old = words.name()
        new = words.name() if words.skip("TO") else None
        if old is None or new is None or old.lower() == new.lower():
            return False
        self.vanishes |= self._part(kind, old)
        self.appears |= self._part(kind, new)
        return True


def _alter(words: Words) -> Effect | None:
    if words.skip("IF", "EXISTS"):
        return None
    names = words.names()
    if not names:
        return None
    if words.peek() in ("WAIT", "NOWAIT"):
        words.place += 1 + (words.peek() == "WAIT")
    if words.peek() == "RENAME" and words.peek(1) not in ("COLUMN", "INDEX", "KEY"):
        words.place += 1
        words.skip_any("TO", "AS", "=")
        new = words.names()
        if not new or words or new == names:
            return None
        old = thing("TABLE", names)
        return Effect((old, thing("TABLE", new)), frozenset({thing("TABLE", new)}), frozenset({old}))
    table = _Table(names)
    while words:
        if not table.act(words.to_comma()):
            return None
    return table.effect()
