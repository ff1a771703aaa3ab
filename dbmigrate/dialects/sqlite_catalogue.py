"""What is in an SQLite database.

SQLite keeps the text of each CREATE, changed by each ALTER, and its pragmas leave out much of that (checks, collations,
names of constraints, what is deferred). So the text is read, as far as it says what a thing is. Laws: spaces, comments
and the kind of quotes around names make no difference; it makes none whether a constraint stands behind its column or
at the end; whatever else is written differently is different.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from sqlalchemy.dialects.sqlite.base import SQLiteIdentifierPreparer
from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Object, Property, made
from dbmigrate.dialects.base import rows
from dbmigrate.dialects.evidence import Words
from dbmigrate.dialects.sqlite_grammar import SQLITE
from dbmigrate.scanner import tokens

#: Tables that modules of SQLite keep for a virtual table of theirs: its name, and one of these.
_SHADOWS = {
    "fts5": ("_data", "_idx", "_content", "_docsize", "_config"),
    **dict.fromkeys(("fts3", "fts4"), ("_content", "_segments", "_segdir", "_docsize", "_stat")),
    **dict.fromkeys(("rtree", "rtree_i32", "geopoly"), ("_node", "_parent", "_rowid")),
}
_RESERVED: frozenset[str] = frozenset(SQLiteIdentifierPreparer.reserved_words)
_OPERATORS = {"<=", ">=", "==", "!=", "<>", "||", "<<", ">>", "->", "->>"}
#: Before which words the text of a view or a trigger goes on in a new line.
_LINES = {
    "view": {"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT"},
    "trigger": {"BEGIN"},
}
#: What a constraint of a table begins with, and what may follow the type of a column.
_OF_TABLES = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}
_OF_COLUMNS = {*_OF_TABLES, "NOT", "NULL", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}


def objects(connection: Connection) -> Iterator[Object]:
    """Give everything in the main database."""
    names = ", ".join(f"CAST({name} AS BLOB)" for name in ("type", "name", "tbl_name", "sql"))
    answer = rows(connection, f"SELECT {names} FROM main.sqlite_master WHERE sql IS NOT NULL")
    # What is not UTF-8 is no reason not to look.
    found = [[bytes(value).decode(errors="backslashreplace") for value in row] for row in answer]
    virtual = {name: text for _, name, _, text in found if text.startswith("CREATE VIRTUAL TABLE ")}  # so it writes it
    shadows = {name + word for name, text in virtual.items() for word in _SHADOWS.get(_module(text), ())}
    for kind, name, table, text in found:
        if not name.startswith("sqlite_") and name not in shadows and table not in shadows:
            yield from _objects("virtual table" if name in virtual and kind == "table" else kind, name, table, text)


@lru_cache(maxsize=10_000)  # whoever looks again after each migration finds most things as they were
def _objects(kind: str, name: str, table: str, text: str) -> tuple[Object, ...]:
    words = read(text)
    unique = words.peek(1) == "UNIQUE"
    words.skip("CREATE")
    words.skip_any("UNIQUE", "VIRTUAL", "TABLE", "INDEX", "VIEW", "TRIGGER")
    words.names()
    if kind == "table":
        return tuple(_Table(name, words).objects())
    if kind == "index":
        return (_index(name, table, words, unique=unique),)
    definition = {"definition": spaced(words, _LINES.get(kind, ()))}
    return (made(kind, name, definition, table=table if kind == "trigger" else ""),)


def _module(text: str) -> str:
    words = read(text)
    words.place = 3
    words.names()
    words.skip("USING")
    return (words.name() or "").lower()


class _Words(Words):
    """SQLite takes a string for a name, where there can only be one."""

    def name(self) -> str | None:
        if self.place < len(self.found) and self.found[self.place][1][0] == "'":
            self.place += 1
            return _unquoted(self.found[self.place - 1][1])
        # zero-argument super() does not know a dataclass with slots
        return Words.name(self)


class _Table:
    """Reads what stands behind the name of a table."""

    def __init__(self, name: str, words: Words) -> None:
        self.name, self.body = name, words.inside()
        self.options = {" ".join(text.upper() for _, text in option.found) for option in words.items()}
        self.found = list[Object]()
        self.used = dict[tuple[str, str], int]()

    def objects(self) -> Iterator[Object]:
        """Give the table and its parts."""
        properties = {"without rowid": "WITHOUT ROWID" in self.options, "strict": "STRICT" in self.options}
        yield made("table", self.name, properties)
        position = 0
        for item in self.body.items():
            if item.peek() in _OF_TABLES:
                # Between the constraints of a table commas may be left out.
                while item:
                    self._constraint(item, ())
            else:
                position += 1
                self._column(item, position)
        yield from map(self._without_not_null, self.found)

    def _without_not_null(self, item: Object) -> Object:
        """Leave NOT NULL out where it says nothing: of what is the rowid, and of the key of a table without one."""
        keys = [part.get("columns") for part in self.found if part.kind == "primary key"]
        key = [name for columns in keys if isinstance(columns, tuple) for name in columns]
        is_rowid = len(key) == 1 and item.get("type") == "INTEGER"
        says_nothing = is_rowid or "WITHOUT ROWID" in self.options
        if (
            item.kind != "column"
            or written(item.name) not in key
            or item.get("not null on conflict")
            or not says_nothing
        ):
            return item
        said = {name: value for name, value in item.properties if name != "not null"}
        return replace(item, properties=tuple(said.items()))

    def _part(self, kind: str, name: str | None, properties: Mapping[str, Property | None]) -> None:
        """Take note of a constraint. Without a name, or with one that is taken, it is called by what it is about."""
        if name is None or (kind, written(name)) in self.used:
            about = properties.get("columns") or (str(properties.get("expression")),)
            called = f"({', '.join(about) if isinstance(about, tuple) else about})"
        else:
            called = written(name)
        number = self.used[kind, called] = self.used.get((kind, called), 0) + 1
        called += f" {number}" if number > 1 else ""
        self.found.append(made(kind, called, properties, table=self.name))

    def _column(self, words: Words, position: int) -> None:
        name = words.name() or ""
        begin = words.place
        while words and words.peek() not in _OF_COLUMNS:
            if words.peek() == "(":
                words.inside()
            else:
                words.place += 1
        declared = Words(SQLITE, words.found[begin : words.place])
        properties: dict[str, Property | None] = {"type": spaced(declared).upper()}
        # In this order, whatever that of the text is.
        properties |= dict.fromkeys(("collation", "not null", "not null on conflict", "default"))
        while words:
            constraint = words.name() if words.skip("CONSTRAINT") else None
            if words.skip("COLLATE"):
                collation = (words.name() or "").upper()
                properties["collation"] = None if collation == "BINARY" else collation
            elif words.skip("NOT", "NULL"):
                properties |= {"not null": True, "not null on conflict": _conflict(words)}
            elif words.skip("NULL"):
                _conflict(words)
            elif words.skip("DEFAULT"):
                properties["default"] = _default(words)
            elif words.skip("GENERATED", "ALWAYS", "AS") or words.skip("AS"):
                properties |= {"generated": spaced(words.inside()), "stored": words.skip("STORED")}
                words.skip("VIRTUAL")
            elif words:
                self._constraint(words, (name,), constraint)
        self.found.append(made("column", name, properties, table=self.name, position=position))

    def _constraint(self, words: Words, columns: tuple[str, ...], name: str | None = None) -> None:
        """Read one constraint: of a table, or of the one column that it stands behind."""
        if words.skip("CONSTRAINT"):
            name = words.name()
        properties: Mapping[str, Property | None]
        if words.skip("PRIMARY", "KEY"):
            kind, properties = "primary key", self._key(words, columns)
        elif words.skip("UNIQUE"):
            kind, properties = "unique", self._key(words, columns)
        elif words.skip("CHECK"):
            kind, properties = "check", {"expression": spaced(words.inside()), "on conflict": _conflict(words)}
        elif words.skip("FOREIGN", "KEY") or words.peek() == "REFERENCES":
            kind, properties = "foreign key", _reference(words, columns)
        else:  # a comma or a word that means nothing, as SQLite has it
            words.place += 1
            return
        self._part(kind, name, properties)

    def _key(self, words: Words, columns: tuple[str, ...]) -> dict[str, Property | None]:
        autoincrement = False
        if not columns:
            inside = words.inside()
            if autoincrement := inside.peek(len(inside.found) - 1) == "AUTOINCREMENT":
                inside.found.pop()
            columns = tuple(map(_key_column, inside.items()))
        else:
            columns = (written(columns[0]) + (" DESC" if words.skip("DESC") else ""),)
        words.skip("ASC")
        conflict = _conflict(words)
        autoincrement = words.skip("AUTOINCREMENT") or autoincrement
        return {"columns": columns, "autoincrement": autoincrement, "on conflict": conflict}


def _index(name: str, table: str, words: Words, *, unique: bool) -> Object:
    words.skip("ON")
    words.name()
    columns = tuple(map(_key_column, words.inside().items()))
    where = spaced(words) if words.skip("WHERE") else None
    return made("index", name, {"unique": unique, "columns": columns, "where": where}, table=table)


def _key_column(words: Words) -> str:
    """Return a column of a key or an index as it must be written; or an expression."""
    if words.peek(1) not in ("", "COLLATE", "ASC", "DESC") or (name := words.name()) is None:
        text = spaced(words)
    else:
        text = f"{written(name)} {spaced(words)}".strip()
    return text.removesuffix(" ASC").removesuffix(" asc")


def _conflict(words: Words) -> str | None:
    """Take what is to happen on a conflict, if that is said; ABORT is what happens anyway."""
    if not words.skip("ON", "CONFLICT"):
        return None
    action = (words.name() or "").upper()
    return None if action == "ABORT" else action


def _default(words: Words) -> str:
    """Take a default; (1) is the same as 1."""
    if words.peek() == "(":
        return spaced(words.inside())
    size = 2 if words.peek() in ("+", "-") else 1
    words.place += size
    return "".join(text for _, text in words.found[words.place - size : words.place])


def _reference(words: Words, columns: tuple[str, ...]) -> dict[str, Property | None]:
    """Read a foreign key from its columns on. NO ACTION is what happens anyway, and only DEFERRED defers."""
    columns = tuple(map(written, columns)) or tuple(map(_key_column, words.inside().items()))
    words.skip("REFERENCES")
    found: dict[str, Property | None] = {"columns": columns, "references": written(words.name() or "")}
    found |= dict.fromkeys(("referenced columns", "match", "on delete", "on update"))
    if words.peek() == "(":
        found["referenced columns"] = tuple(map(_key_column, words.inside().items()))
    while words:
        if words.skip("MATCH"):
            found["match"] = (words.name() or "").upper()
        elif words.peek() == "ON" and words.peek(1) in ("DELETE", "UPDATE"):
            event = f"on {words.peek(1).lower()}"
            words.place += 2
            size = 2 if words.peek() in ("SET", "NO") else 1
            action = " ".join(words.peek(ahead) for ahead in range(size))
            words.place += size
            found[event] = None if action == "NO ACTION" else action
        elif words.skip("DEFERRABLE", "INITIALLY", "DEFERRED"):
            found["deferred"] = True
        elif not (words.skip("NOT", "DEFERRABLE") or words.skip("DEFERRABLE")):
            break
        words.skip("INITIALLY", "DEFERRED")  # says nothing behind NOT DEFERRABLE
        words.skip("INITIALLY", "IMMEDIATE")
    return found


def read(sql: str) -> Words:
    """Return the words of a text, with its operators whole."""
    found = list[tuple[str, str]]()
    end = -1
    for kind, text, place in tokens(sql, SQLITE):
        if kind in ("space", "comment"):
            continue
        if end == place and found[-1][1] + text in _OPERATORS:
            found[-1] = ("operator", found[-1][1] + text)
        else:
            found.append((kind, text))
        end = place + len(text)
    return _Words(SQLITE, found)


def spaced(words: Words, lines: Collection[str] = ()) -> str:
    """Return all that is left, written in one way: names in double quotes, if any, and single spaces.

    Words that SQL reserves are in capitals. Before some of them, and behind the statements of a trigger, there are new
    lines.
    """
    text, depth, last, is_operand, is_sign = "", 0, "", False, False
    for kind, found in words.found[words.place :]:
        piece = _quoted(_unquoted(found)) if kind == "name" else found
        if kind == "word" and piece.lower() in _RESERVED:
            piece = piece.upper()
        depth += (piece == "(") - (piece == ")")
        if lines and depth == 0 and (last == ";" or last.upper() == "BEGIN" or piece.upper() in lines):
            space = "\n"
        elif is_sign or piece in (",", ")", ";", ".") or last in ("(", ".", "") or (piece == "(" and is_operand):
            space = ""
        else:
            space = " "
        text += space + piece
        is_sign = piece in ("-", "+", "~") and not is_operand
        is_operand = piece == ")" or (kind != "operator" and not (kind == "word" and is_reserved(piece)))
        last = piece
    words.place = len(words.found)
    return text


def is_reserved(word: str) -> bool:
    """Tell whether a word has a meaning of its own, so that it names nothing without quotes."""
    return word.lower() in _RESERVED or word.upper() in ("OVER", "FILTER", "RETURNING")


def _unquoted(text: str) -> str:
    quote = text[-1]
    return text[1:-1] if quote == "]" else text[1:-1].replace(quote * 2, quote)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def written(name: str) -> str:
    """Return a name as it must be written."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain and not is_reserved(name) else _quoted(name)
