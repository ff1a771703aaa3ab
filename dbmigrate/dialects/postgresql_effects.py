"""What statements of PostgreSQL that run outside a transaction do to the catalogue, as far as their text tells.

All others commit together with their entry in the journal, so nobody has to look for what they did.
"""

from __future__ import annotations

from dbmigrate.dialects.evidence import REPEATABLE, Effect, Said, Words
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.scanner import Statement

#: Words of CREATE INDEX that pg_get_indexdef() leaves out, or says otherwise.
_LEFT_OUT = (
    "asc",
    "nulls",
    "first",
    "last",
    "in",
    "between",
    "like",
    "ilike",
    "similar",
    "to",
    "tablespace",
    "not",
    "and",
)
_HARMLESS = ("VACUUM", "CHECKPOINT", "CLUSTER", "ANALYZE")
#: Behind the definition of an index that cannot be used, since it was not built to its end; behind that, its name.
INVALID = " -- INVALID: DROP INDEX CONCURRENTLY "


def effect(statement: Statement) -> Effect | None:
    """Say what a statement does to the catalogue. None: nothing there could tell for certain whether it ran."""
    words = Words.of(statement, POSTGRESQL)
    if words.peek() in _HARMLESS:
        return REPEATABLE
    if words.skip("REINDEX"):
        return _reindex(words)
    if words.skip("CREATE"):
        unique = words.skip("UNIQUE")
        return _create_index(words, unique=unique) if words.skip("INDEX", "CONCURRENTLY") else None
    if words.skip("DROP", "INDEX", "CONCURRENTLY"):
        if words.skip("IF", "EXISTS"):
            return REPEATABLE
        index = _written(words)
        if index is None or words.skip(","):
            return None
        return Effect((f"index {index}",), vanishes=frozenset({f"index {index}"}))
    if words.skip("ALTER", "TABLE"):
        words.skip("IF", "EXISTS")
        table = _written(words)
        part = _written(words) if words.skip("DETACH", "PARTITION") else None
        if table is None or part is None or not words.skip("CONCURRENTLY"):
            return None
        return Effect((f"partition {part}",), vanishes=frozenset({f"partition {part}"}))
    return None


def _create_index(words: Words, *, unique: bool) -> Effect | None:
    optional, name = words.skip("IF", "NOT", "EXISTS"), "*"
    if words.peek() != "ON":
        kind, text = words.found[words.place]
        name = f'"{text.lower()}"' if kind == "word" else text
        words.place += 1
    if not words.skip("ON"):
        return None
    words.skip("ONLY")
    table = _written(words)
    if table is None:
        return None
    named = words.said(*_LEFT_OUT)
    while words and words.peek() != "(":
        words.place += 1  # USING and a method
    said = {f"index {name}": Said(named, unique, len(words.inside().items()))}
    return Effect((f"indexes {table}",), appears=frozenset({f"index {name}"}), optional=optional, said=said)


def _reindex(words: Words) -> Effect | None:
    if words.skip("("):
        while words and not words.skip(")"):
            words.place += 1
    kind = words.peek()
    words.place += 1
    words.skip("CONCURRENTLY")
    if kind not in ("INDEX", "TABLE"):
        return REPEATABLE
    name = _written(words)
    return None if name is None else Effect((f"indexes {name}",), repeatable=True)


def _written(words: Words) -> str | None:
    """Take a name as it is written, with its quotes, for to_regclass()."""
    begin = words.place
    return "".join(text for _, text in words.found[begin : words.place]) if words.names() else None
