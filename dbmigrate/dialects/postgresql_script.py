"""A snapshot of a PostgreSQL database as a script that makes an equal one in an empty database.

Laws of this file: pure; text only, never a connection; equal schemas whose columns stand in the same order give the
same text. What is said of an object in the database's own words is taken over, everything else is quoted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dbmigrate.catalogue import KINDS, Object, Snapshot
from dbmigrate.dialects.postgresql_clauses import (
    altered,
    assigned,
    clauses,
    constraint_name,
    listed,
    literal,
    quoted,
    rights,
    said,
    server_options,
    several,
    unquoted,
    with_options,
)

#: What comes before and after everything that depends on each other; "late" is what needs two objects to be there.
_PHASES = [
    *("schema", "extension", "foreign data wrapper", "server", "", "late"),
    *("grant", "default privileges", "publication", "event trigger"),
]
_TABLES = ("table", "foreign table")
_CONSTRAINTS = ("primary key", "unique", "exclusion", "check", "foreign key")
#: The triggers of a constraint have names that nobody knows beforehand. Partitions go with their table.
_SWITCH = """DO $$
DECLARE
    t record;
BEGIN
    FOR t IN WITH RECURSIVE k AS (
            SELECT c.oid FROM pg_constraint c WHERE c.conrelid = {table}::regclass AND c.conname = {name}
            UNION ALL SELECT c.oid FROM pg_constraint c JOIN k ON k.oid = c.conparentid)
        SELECT g.tgrelid::regclass AS place, g.tgname FROM pg_trigger g JOIN k ON k.oid = g.tgconstraint
        WHERE (g.tgfoid::regproc::text ~ 'RI_FKey_(?!check)') = {far}
    LOOP
        EXECUTE format('ALTER TABLE %s {verb} TRIGGER %I', t.place, t.tgname);
    END LOOP;
END
$$;"""
#: The index of a partition has a name that the server chose, or what was attached had.
_RENAMED = """DO $$BEGIN EXECUTE coalesce((
    SELECT format('ALTER INDEX %s RENAME TO %I', c.oid::regclass, {name}) FROM pg_inherits h
        JOIN pg_index x ON x.indexrelid = h.inhrelid JOIN pg_class c ON c.oid = h.inhrelid AND c.relname <> {name}
        WHERE h.inhparent = to_regclass({parent}) AND x.indrelid = {table}::regclass), 'SELECT 1'); END$$;"""
#: What COMMENT and GRANT call a kind, where they have another word for it.
_COMMENTED: dict[str, str] = {
    **dict.fromkeys(("enum", "type"), "TYPE"),
    **dict.fromkeys(_CONSTRAINTS, "CONSTRAINT"),
}
_GRANTED: dict[str, str] = {
    **dict.fromkeys((*_TABLES, "view", "materialized view"), "TABLE"),
    **dict.fromkeys(("enum", "type", "domain"), "TYPE"),
    "aggregate": "FUNCTION",
    "server": "FOREIGN SERVER",
}


def script(snapshot: Snapshot) -> str:
    """Return the statements that make what is in a snapshot, in an order in which they can run.

    They are for an empty database, with the schema `public` as it came, and a user who may do all that. Roles,
    tablespaces and extensions must be there. Not in it is what made an index INVALID, and how a base type is made in C;
    where two things need each other, somebody must take them apart.
    """
    return _Script(snapshot).text()


class _Script:
    """The writing of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.objects = snapshot.objects
        # Of two by one name (a collation and a table) the one that has parts comes later.
        self.owners = {item.owner: item for item in self.objects if not item.table}
        self.parts: dict[tuple[str, str], list[Object]] = {}
        for item in self.objects:
            self.parts.setdefault(item.owner, []).append(item)
        self.writers: dict[str, Callable[[Object], Iterator[str]]] = {
            **dict.fromkeys(("function", "procedure"), self.defined),
            **dict.fromkeys(("trigger", "rule"), self.switched),
            **dict.fromkeys(("view", "materialized view"), self.view),
            **dict.fromkeys(_CONSTRAINTS, self.constraint),
            **dict.fromkeys(_TABLES, self.table),
            "schema": self.schema,
            "extension": self.extension,
            "collation": self.collation,
            "enum": self.enum,
            "domain": self.domain,
            "type": self.type,
            "sequence": self.sequence,
            "aggregate": self.aggregate,
            "operator": self.operator,
            "cast": self.cast,
            "server": self.server,
            "index": self.index,
            "policy": self.policy,
            "statistics": self.statistics,
            "publication": self.publication,
            "text search dictionary": self.dictionary,
            "text search configuration": self.configuration,
            "foreign data wrapper": self.wrapper,
            "event trigger": self.event_trigger,
            "grant": self.grant,
            "default privileges": self.default_privileges,
        }

    def text(self) -> str:
        """Put a blank line between what is of one object and what is of the next."""
        blocks: list[tuple[tuple[int, int, int, str, str, str], str]] = []
        for item in self.objects:
            if item.kind == "column":  # what it is in says it
                continue
            place = self.place(item)
            lines = [*self.writers[item.kind](item), *self.comments(item)]
            late = ((_PHASES.index("late"), *place[1:]), "\n".join(self.late(item)))
            blocks += [(place, "\n".join(lines)), late]
        first = ["SET check_function_bodies = off;"]
        if ("", "public") not in self.owners:
            first.append("DROP SCHEMA public;")
        return "\n\n".join([*first, *(text for _, text in sorted(blocks) if text)]) + "\n"

    def place(self, item: Object) -> tuple[int, int, int, str, str, str]:
        """Order by what depends on what; the kinds in front are needed by those behind."""
        phase = _PHASES.index(item.kind if item.kind in _PHASES else "")
        return phase, item.position, KINDS.index(item.kind), *item.owner, item.name

    # The name of a thing, and what hangs on it

    def name(self, item: Object) -> str:
        """Return what SQL calls an object that stands for itself, or the owner of one that does not."""
        schema, name = item.owner
        kind = self.owners[item.owner].kind if item.table else item.kind
        if kind == "cast":
            return f"({name})"
        name = name if kind in ("function", "procedure", "aggregate", "operator") else quoted(name)
        return f"{quoted(schema)}.{name}" if schema else name

    def comments(self, item: Object) -> Iterator[str]:
        """COMMENT ON what it is, and on its columns."""
        columns = [] if item.table else self.columns(item)
        yield from (self.comment(one) for one in (item, *columns) if one.get("comment"))

    def comment(self, item: Object) -> str:
        word = _COMMENTED.get(item.kind, item.kind.upper())
        if item.kind == "column":
            target = f"{self.name(item)}.{quoted(item.name)}"
        elif item.kind == "index":
            target = f"{quoted(item.schema)}.{quoted(item.name)}"
        elif item.kind == "statistics":
            target = self.statistics_name(item)
        elif item.table:
            domain = "DOMAIN " if self.owners[item.owner].kind == "domain" else ""
            target = f"{quoted(item.name)} ON {domain}{self.name(item)}"
        else:
            target = self.name(item)
        return f"COMMENT ON {word} {target} IS {literal(item.get('comment'))};"

    def late(self, item: Object) -> Iterator[str]:
        """Give what needs something that needs the object."""
        name = self.name(item)
        if item.get("owned by"):
            yield f"ALTER SEQUENCE {name} OWNED BY {item.get('owned by')};"
        if item.get("replica identity"):
            yield f"ALTER TABLE {name} REPLICA IDENTITY {item.get('replica identity')};"
        if item.get("cluster on"):
            yield f"ALTER TABLE {name} CLUSTER ON {item.get('cluster on')};"
        for far, which in (("false", "triggers"), ("true", "referenced triggers")):
            for verb in ("DISABLE", "ENABLE"):
                if item.get(f"{which} {verb.lower()}d"):
                    yield _SWITCH.format(table=literal(name), name=literal(item.name), far=far, verb=verb)

    # What stands for itself

    def schema(self, item: Object) -> Iterator[str]:
        if item.name != "public":
            yield f"CREATE SCHEMA {quoted(item.name)};"

    def extension(self, item: Object) -> Iterator[str]:
        # Some make a schema of their own, which is no object then.
        home = str(item.get("schema"))
        known = ("", home) in self.owners or home == "pg_catalog"
        yield f"CREATE EXTENSION {quoted(item.name)}{f' WITH SCHEMA {quoted(home)}' if known else ''};"

    def collation(self, item: Object) -> Iterator[str]:
        parts = [f"provider = {item.get('provider')}"]
        parts += [f"{key} = {literal(item.get(key))}" for key in ("locale", "lc_collate", "lc_ctype") if item.get(key)]
        parts += ["deterministic = false"] if item.get("not deterministic") else []
        parts += [f"rules = {literal(item.get('rules'))}"] if item.get("rules") else []
        yield f"CREATE COLLATION {self.name(item)} ({', '.join(parts)});"

    def enum(self, item: Object) -> Iterator[str]:
        yield f"CREATE TYPE {self.name(item)} AS ENUM ({', '.join(map(literal, several(item, 'values')))});"

    def domain(self, item: Object) -> Iterator[str]:
        null = " NOT NULL" if item.get("not null") else ""
        words = said(item, collation="COLLATE {}", default="DEFAULT {}")
        yield f"CREATE DOMAIN {self.name(item)} AS {item.get('type')}{words}{null};"

    def type(self, item: Object) -> Iterator[str]:
        if item.get("composite"):
            attributes = [self.clause(column) for column in self.columns(item)]
            yield f"{listed(f'CREATE TYPE {self.name(item)} AS', attributes)};"
        elif item.get("subtype"):
            multirange = item.get("multirange type name")
            parts = {
                "SUBTYPE": item.get("subtype"),
                "SUBTYPE_OPCLASS": item.get("subtype operator class"),
                "COLLATION": item.get("collation"),
                "CANONICAL": item.get("canonical"),
                "SUBTYPE_DIFF": item.get("subtype difference"),
                "MULTIRANGE_TYPE_NAME": f"{quoted(item.schema)}.{multirange}" if multirange else None,
            }
            words = ", ".join(f"{key} = {value}" for key, value in parts.items() if value)
            yield f"CREATE TYPE {self.name(item)} AS RANGE ({words});"
        else:
            yield f"-- A base type, to be made by hand: {self.name(item)}".replace("\n", " ")

    def sequence(self, item: Object) -> Iterator[str]:
        unlogged = "UNLOGGED " if item.get("unlogged") else ""
        yield f"CREATE {unlogged}SEQUENCE {self.name(item)}{said(item, type='AS {}', options='{}')};"

    def defined(self, item: Object) -> Iterator[str]:
        yield f"{str(item.get('definition')).rstrip()};"

    def aggregate(self, item: Object) -> Iterator[str]:
        yield f"CREATE AGGREGATE {self.name(item)} ({item.get('definition')});"

    def operator(self, item: Object) -> Iterator[str]:
        symbol = item.name.partition(" ")[0]
        yield f"CREATE OPERATOR {quoted(item.schema)}.{symbol} ({item.get('definition')});"

    def cast(self, item: Object) -> Iterator[str]:
        how = "WITH INOUT" if item.get("inout") else "WITHOUT FUNCTION"
        how = f"WITH FUNCTION {item.get('function')}" if item.get("function") else how
        yield f"CREATE CAST ({item.name}) {how}{said(item, context='AS {}')};"

    def dictionary(self, item: Object) -> Iterator[str]:
        parts = ", ".join(str(value) for value in (item.get("template"), item.get("options")) if value)
        yield f"CREATE TEXT SEARCH DICTIONARY {self.name(item)} (TEMPLATE = {parts});"

    def configuration(self, item: Object) -> Iterator[str]:
        name = f"TEXT SEARCH CONFIGURATION {self.name(item)}"
        yield f"CREATE {name} (PARSER = {item.get('parser')});"
        yield from (f"ALTER {name} ADD MAPPING FOR {mapping};" for mapping in several(item, "mappings"))

    def wrapper(self, item: Object) -> Iterator[str]:
        words = said(item, handler="HANDLER {}", validator="VALIDATOR {}")
        yield f"CREATE FOREIGN DATA WRAPPER {quoted(item.name)}{words}{server_options(item, 'options')};"

    def server(self, item: Object) -> Iterator[str]:
        words = "".join(f" {key.upper()} {literal(item.get(key))}" for key in ("type", "version") if item.get(key))
        words += f" FOREIGN DATA WRAPPER {item.get('wrapper')}"
        yield f"CREATE SERVER {quoted(item.name)}{words}{server_options(item, 'options')};"

    # Tables and views

    def columns(self, item: Object) -> list[Object]:
        found = [part for part in self.parts[item.owner] if part.kind == "column"]
        return sorted(found, key=lambda column: (column.position, column.name))

    def clause(self, column: Object) -> str:
        """Return a column as CREATE TABLE has it."""
        null = ""
        if column.get("not null") and not column.get("not null not valid"):
            null = f"{constraint_name(column)} NOT NULL{' NO INHERIT' if column.get('not null no inherit') else ''}"
        words = said(column, default="DEFAULT {}", generated="GENERATED ALWAYS AS ({})")
        words += " STORED" if column.get("stored") else ""
        if column.get("identity"):
            options = column.get("identity options")
            words += f" GENERATED {column.get('identity')} AS IDENTITY{f' ({options})' if options else ''}"
        options, collation = server_options(column, "server options"), said(column, collation="COLLATE {}")
        return f"{quoted(column.name)} {column.get('type')}{options}{collation}{null}{words}"

    def table(self, item: Object) -> Iterator[str]:
        name, parent = self.name(item), item.get("partition of")
        lines = [self.clause(column) for column in self.columns(item) if not column.get("inherited")]
        inline = [part for part in self.parts[item.owner] if self.is_inline(part, item)]
        lines += [f"CONSTRAINT {quoted(part.name)} {part.get('definition')}" for part in inline]
        unlogged = "UNLOGGED " if item.get("unlogged") else "FOREIGN " if item.kind == "foreign table" else ""
        head = f"CREATE {unlogged}TABLE {name}"
        if parent:
            text = listed(f"{head} PARTITION OF {parent}", lines) if lines else f"{head} PARTITION OF {parent}"
            text += f" {item.get('bound')}"
        else:
            text = listed(head, lines)
            text += f" INHERITS ({', '.join(several(item, 'inherits'))})" if item.get("inherits") else ""
        text += said(item, partition_by="PARTITION BY {}", server="SERVER {}") + server_options(item, "server options")
        text += said(item, access_method="USING {}") + with_options(item) + said(item, tablespace="TABLESPACE {}")
        yield f"{text};"
        yield from altered(item, f"TABLE {name}", of_type="OF {}")
        yield from altered(item, f"TABLE {name}", row_security="ENABLE ROW LEVEL SECURITY")
        yield from altered(item, f"TABLE {name}", force_row_security="FORCE ROW LEVEL SECURITY")
        for part in (*self.columns(item), *inline):
            yield from self.details(part, name)

    def details(self, part: Object, table: str) -> Iterator[str]:
        """Give what CREATE TABLE cannot say of a part, or a child has otherwise than its parent."""
        if part.kind != "column":
            yield from self.index_details(part)
            return
        alter = f"TABLE {table} ALTER COLUMN {quoted(part.name)}"
        if part.get("inherited") and part.get("type"):
            generated = part.get("generated") or part.get("identity")
            yield from () if generated or part.get("default") else (f"ALTER {alter} DROP DEFAULT;",)
            yield from altered(part, alter, default="SET DEFAULT {}", not_null="SET NOT NULL")
        elif part.get("not null not valid"):
            yield f"ALTER TABLE {table} ADD{constraint_name(part)} NOT NULL {quoted(part.name)} NOT VALID;"
        sequence = f"pg_get_serial_sequence({literal(table)}, {literal(part.name)})"
        for change in clauses(part, {"identity_type": "AS {}", "identity_persistence": "SET {}"}):
            yield f"DO $$BEGIN EXECUTE format('ALTER SEQUENCE %s {change}', {sequence}); END$$;"
        yield from self.stored(part, alter)

    def stored(self, column: Object, alter: str) -> Iterator[str]:
        yield from altered(column, alter, storage="SET STORAGE {}", compression="SET COMPRESSION {}")
        yield from altered(column, alter, statistics="SET STATISTICS {}", options=f"SET ({assigned(column)})")

    def is_inline(self, part: Object, table: Object) -> bool:
        """Tell a constraint that can stand in CREATE TABLE: it needs nothing that comes later."""
        is_one = part.kind in _CONSTRAINTS[:-1] and table.kind in _TABLES and not part.get("inherited")
        return is_one and part.position <= table.position + 1 and not str(part.get("definition")).endswith("NOT VALID")

    def view(self, item: Object) -> Iterator[str]:
        words = said(item, access_method="USING {}") + with_options(item) + said(item, tablespace="TABLESPACE {}")
        # A materialized view reads what is there: in an empty database that is nothing, and WITH NO DATA not needed.
        yield f"CREATE {item.kind.upper()} {self.name(item)}{words} AS\n{item.get('definition')};"
        for column in self.columns(item):
            alter = f"{item.kind.upper()} {self.name(item)} ALTER COLUMN {quoted(column.name)}"
            yield from altered(column, alter, default="SET DEFAULT {}")
            yield from self.stored(column, alter)

    # What is a part of one

    def constraint(self, item: Object) -> Iterator[str]:
        owner = self.owners[item.owner]
        if not self.is_inline(item, owner):
            if not item.get("inherited"):
                what = "DOMAIN" if owner.kind == "domain" else owner.kind.upper()
                yield f"ALTER {what} {self.name(item)} ADD CONSTRAINT {quoted(item.name)} {item.get('definition')};"
            yield from self.index_details(item)

    def index(self, item: Object) -> Iterator[str]:
        if item.get("inherited"):
            yield from self.index_details(item)
            return
        unique, only = "UNIQUE " if item.get("unique") else "", "ONLY " if item.get("invalid") else ""
        yield f"CREATE {unique}INDEX {quoted(item.name)} ON {only}{self.name(item)} {item.get('definition')};"
        yield from self.index_details(item)

    def index_details(self, item: Object) -> Iterator[str]:
        """Give what is so about an index, also about the one behind a constraint."""
        alter = f"INDEX {quoted(item.schema)}.{quoted(item.name)}"
        if item.get("partition of"):
            table, parent = literal(self.name(item)), literal(item.get("partition of"))
            yield _RENAMED.format(name=literal(item.name), table=table, parent=parent)
        if item.kind != "index" or item.get("inherited"):
            reset = ", ".join(several(item, "options reset"))
            yield from altered(item, alter, options=f"SET ({assigned(item)})", options_reset=f"RESET ({reset})")
        yield from altered(item, alter, tablespace="SET TABLESPACE {}")
        if item.get("index comment"):
            yield f"COMMENT ON {alter} IS {literal(item.get('index comment'))};"
        for number, target in (text.split() for text in several(item, "statistics")):
            yield f"ALTER {alter} ALTER COLUMN {number} SET STATISTICS {target};"

    def switched(self, item: Object) -> Iterator[str]:
        """CREATE TRIGGER or RULE, and when it fires."""
        if item.get("definition"):
            yield f"{item.get('definition')};"
        yield from self.switch(item, f"TABLE {self.name(item)}", f" {item.kind.upper()} {quoted(item.name)}")

    def switch(self, item: Object, what: str, which: str = "") -> Iterator[str]:
        yield from altered(
            item, what, disabled=f"DISABLE{which}", enabled=f"ENABLE{which}", fires=f"ENABLE {{}}{which}"
        )

    def policy(self, item: Object) -> Iterator[str]:
        restrictive = " AS RESTRICTIVE" if item.get("restrictive") else ""
        words = said(item, **{"for": "FOR {}"})
        words += f" TO {', '.join(several(item, 'to'))}" if item.get("to") else ""
        words += said(item, using="USING ({})", with_check="WITH CHECK ({})")
        yield f"CREATE POLICY {quoted(item.name)} ON {self.name(item)}{restrictive}{words};"

    def statistics_name(self, item: Object) -> str:
        return f"{quoted(str(item.get('schema') or item.schema))}.{quoted(item.name)}"

    def statistics(self, item: Object) -> Iterator[str]:
        yield f"{item.get('definition')};"
        yield from altered(item, f"STATISTICS {self.statistics_name(item)}", target="SET STATISTICS {}")

    # What comes last

    def grant(self, item: Object) -> Iterator[str]:
        kind = str(item.get("on") or (self.owners[item.owner].kind if item.schema else "schema"))
        name = self.name(item)
        if kind == "sequence" and item.get("of"):  # of an identity column: the server chose its name
            found = f"pg_get_serial_sequence({literal(name)}, {literal(unquoted(str(item.get('of'))))})"
            for line in rights(item, "SEQUENCE %s"):
                yield f"DO $$BEGIN EXECUTE format({literal(line[:-1])}, {found}); END$$;"
            return
        name = name.replace("(*)", "()").replace(" ORDER BY ", ", ") if kind == "aggregate" else name
        yield from rights(item, f"{_GRANTED.get(kind, kind.upper())} {name}")

    def default_privileges(self, item: Object) -> Iterator[str]:
        schema = f" IN SCHEMA {quoted(item.schema)}" if item.schema else ""
        alter = f"ALTER DEFAULT PRIVILEGES{said(item, of='FOR ROLE {}')}{schema} "
        yield from (alter + line for line in rights(item, str(item.get("on"))))

    def publication(self, item: Object) -> Iterator[str]:
        # Each child that is in it is listed, with what is said of it.
        tables = ", ".join(f"ONLY {table}" for table in several(item, "tables"))
        what = [f"TABLE {tables}"] if tables else []
        what += [f"TABLES IN SCHEMA {', '.join(several(item, 'schemas'))}"] if item.get("schemas") else []
        words = "ALL TABLES" if item.get("for all tables") else ", ".join(what)
        options = [f"publish = {literal(item.get('publish') or '')}"]
        options += ["publish_via_partition_root = true"] if item.get("via partition root") else []
        options += ["publish_generated_columns = stored"] if item.get("generated columns") else []
        words = f" FOR {words}" if words else ""
        yield f"CREATE PUBLICATION {quoted(item.name)}{words} WITH ({', '.join(options)});"

    def event_trigger(self, item: Object) -> Iterator[str]:
        when = f" WHEN TAG IN ({', '.join(map(literal, several(item, 'tags')))})" if item.get("tags") else ""
        call = f"EXECUTE FUNCTION {item.get('function')}()"
        yield f"CREATE EVENT TRIGGER {quoted(item.name)} ON {item.get('on')}{when} {call};"
        yield from self.switch(item, f"EVENT TRIGGER {quoted(item.name)}")
