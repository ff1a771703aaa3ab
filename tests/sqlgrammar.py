"""Whole scripts of SQL, generated: one grammar for each database.

What a script means is of no interest, only that the server takes it and that it is hard to cut:
strings and names in every form of quotes, comments of every kind between any two words, names that
are keywords elsewhere, and every kind of statement that holds semicolons.

A statement is a list of words, each of which is a token or several that stand together; between
two words comes white space, or a comment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import DrawFn

Words = list[str]

_NASTY = ["it's", "a;b", 'say "x"', "-- no", "/* no", "*/", "$$", "end;", "`", "\\n", "#", "ü€", ""]
_FRESH = [f"x{number}" for number in range(90)]


class _Writer:
    """Draws what a script is made of. The subclasses know their database."""

    #: Names that need no quotes, though they are keywords; and gaps besides a blank.
    keywords: Sequence[str] = ()
    columns: Sequence[str] = ()
    gaps: Sequence[str] = ()
    number_type = "numeric"  # nothing overflows
    text_type = "text"

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._names = [*_FRESH[::-1], *draw(st.permutations(self.keywords))]
        self._tables: list[tuple[str, list[str]]] = []

    # Drawing

    def pick(self, *options: Any) -> Any:
        return self._draw(st.sampled_from(options))

    def chance(self, one_in: int) -> bool:
        return bool(self._draw(st.integers(1, one_in)) == 1)

    def times(self, low: int, high: int) -> range:
        return range(self._draw(st.integers(low, high)))

    def one_of(self, *makers: Callable[..., Words], **options: Any) -> Words:
        result: Words = self.pick(*makers)(**options)
        return result

    # Words

    def words(self, template: str, *parts: str | Words) -> Words:
        """The words of a template, in which each `{}` stands for the next of the parts."""
        rest = iter(parts)
        result: Words = []
        for word in template.split():
            part: str | Words = next(rest) if word == "{}" else word
            result += [part] if isinstance(part, str) else part
        return result

    def listed(self, items: Sequence[Words], separator: str = ",") -> Words:
        result: Words = []
        for item in items:
            result += [separator, *item] if result else item
        return result

    def name(self) -> str:
        """A new name: a keyword, quoted, or plain."""
        if self.chance(4):
            text = self.pick(*_NASTY[:-1]) + self._names.pop(0) if self.chance(2) else ""
            return self.quoted(text or self._names.pop(0) + " ;")
        return self._names.pop()

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def string(self) -> Words:
        return ["'" + self.pick(*_NASTY).replace("'", "''") + "'"]

    # Expressions

    def expression(self, columns: Sequence[str] = (), depth: int = 0) -> Words:
        if depth > 2 or self.chance(2):
            if columns and self.chance(2):
                return [self.pick(*columns)]
            return self.number() if self.chance(2) else ["length(", *self.string(), ")"]
        makers = (self.case, self.sum, self.nested, self.subselect)
        return self.one_of(*makers, columns=columns, depth=depth + 1)

    def number(self) -> Words:
        return [self.pick("1", "2", "0", "1.5", ".5", "1e2", "1.5e-1")]

    def case(self, columns: Sequence[str], depth: int) -> Words:
        operand = self.expression(columns, depth) if self.chance(3) else []
        whens: Words = []
        for _ in range(1 + self.chance(3)):
            when = self.expression(columns, depth)
            if not operand:
                when = [*when, self.pick("=", "<>", "<="), *self.expression(columns, depth)]
            whens += ["WHEN", *when, "THEN", *self.expression(columns, depth)]
        otherwise = ["ELSE", *self.expression(columns, depth)] if self.chance(2) else []
        return ["CASE", *operand, *whens, *otherwise, self.pick("END", "end")]

    def sum(self, columns: Sequence[str], depth: int) -> Words:
        return [*self.expression(columns, depth), self.pick("+", "-", "*"), *self.number()]

    def nested(self, columns: Sequence[str], depth: int) -> Words:
        return ["(", *self.expression(columns, depth), ")"]

    def subselect(self, columns: Sequence[str], depth: int) -> Words:
        return ["(", "SELECT", *self.expression(columns, depth), ")"]

    # Statements

    def table(self) -> Words:
        name = self.name()
        columns = list(self._draw(st.permutations(self.columns))[:3])
        parts = [
            [column, self.number_type, *(["DEFAULT", *self.number()] if self.chance(3) else [])] for column in columns
        ]
        parts.append(["note", self.text_type])
        self._tables.append((name, columns))
        return self.words("CREATE TABLE {} ( {} )", name, self.listed(parts))

    def a_table(self) -> tuple[str, list[str]]:
        result: tuple[str, list[str]] = self.pick(*self._tables)
        return result

    def insert(self) -> Words:
        name, columns = self.a_table()
        rows = [["(", *self.expression(), ",", *self.string(), ")"] for _ in range(1 + self.chance(3))]
        template = "INSERT INTO {} ( {} , note ) VALUES {}"
        return self.words(template, name, columns[0], self.listed(rows))

    def update(self) -> Words:
        name, columns = self.a_table()
        target, value = self.pick(*columns), self.expression(columns)
        return self.words("UPDATE {} SET {} = {} , note = {}", name, target, value, self.string())

    def delete(self) -> Words:
        name, columns = self.a_table()
        return self.words("DELETE FROM {} WHERE {} = {}", name, columns[1], self.expression(columns))

    def select(self) -> Words:
        name, columns = self.a_table()
        value = self.expression(columns)
        return self.words("SELECT {} AS {} FROM {}", value, self.pick(*self.columns), name)

    def view(self) -> Words:
        return self.words("CREATE VIEW {} AS {}", self.name(), self.select())

    def dml(self) -> Words:
        return self.one_of(self.insert, self.update, self.delete)

    def wide(self) -> Words:
        """A parenthesis or two too many, and a long list."""
        name, columns = self.a_table()
        depth = self.pick(1, 5, 60)
        condition = ["(" * depth, columns[0], "=", *self.expression(columns), ")" * depth]
        return self.words("DELETE FROM {} WHERE {}", name, condition)

    def statements(self) -> Sequence[Callable[[], Words]]:
        return (self.table, self.insert, self.update, self.delete, self.view, self.wide)

    # Scripts

    def gap(self) -> str:
        if self.chance(4):
            gap: str = self.pick(*self.gaps)
            return gap
        return " "

    def joined(self, words: Words) -> str:
        text = words[0]
        for word in words[1:]:
            text += self.gap() + word
        return text

    def script(self) -> str:
        text = self.pick("", "\n", *self.gaps)
        for statement in [self.table, *(self.pick(*self.statements()) for _ in self.times(1, 8))]:
            text += self.finished(statement()) + self.gap() + self.pick("\n", "\n", " ")
        return text if self.chance(2) else self.without_last_end(text)

    def finished(self, words: Words) -> str:
        before, behind = self.pick("", " ", "\n"), self.pick("", "", " ;")
        return f"{self.joined(words)}{before};{behind}"

    def without_last_end(self, text: str) -> str:
        return text.rstrip().rstrip(";")


class _SQLite(_Writer):
    keywords = ("begin", "end", "trigger", "temp", "explain", "event", "query", "each", "replace")
    columns = ("a", "begin", "end", '"a;b"', "[x;'y]", "`c--d`", "trigger", "row")
    gaps = ("\n", "\t", "\r\n", " -- it's; END;\n", "/*;*/", " /* ' \" ` [ ; /* */ ")

    def quoted(self, name: str) -> str:
        form: str = self.pick('"', "`", "[")
        if form == "[":
            return f"[{name.replace(']', ')')}]"
        return form + name.replace(form, form * 2) + form

    def string(self) -> Words:
        return ["x'3b27'"] if self.chance(6) else super().string()

    def trigger(self) -> Words:
        name, columns = self.a_table()
        when = ["WHEN", *self.expression()] if self.chance(2) else []
        body: Words = []
        for _ in self.times(1, 3):
            body += [*self.one_of(self.dml, self.select), ";"]
        return self.words(
            "CREATE {} TRIGGER {} {} {} ON {} {} {} BEGIN {} {}",
            self.pick([], ["TEMP"]),
            self.pick([], ["IF", "NOT", "EXISTS"]),
            self.name(),
            self.pick(["AFTER", "INSERT"], ["BEFORE", "DELETE"], ["UPDATE", "OF", columns[0]]),
            name,
            self.pick([], ["FOR", "EACH", "ROW"]),
            when,
            body,
            self.pick("END", "end"),
        )

    def statements(self) -> Sequence[Callable[[], Words]]:
        return (*super().statements(), self.trigger, self.trigger, self.pragma)

    def pragma(self) -> Words:
        return ["PRAGMA", "user_version", "=", "7"]


class _PostgreSQL(_Writer):
    keywords = ("begin", "event", "trigger", "atomic", "copy", "stdin", "delimiter", "temp", "x$1$")
    columns = ("a", "begin", "atomic", '"end"', '"case"', '"a;b"', 'U&"d\\0061ta"', "x$y$", "é")
    gaps = (
        *("\n", "\t", "\r\n", " -- it's; END\n", "/*;*/", " /* ' \" /* $$ ; */ */ "),
        *(" /* BEGIN ATOMIC */ ", " -- \\copy\n"),
    )

    def string(self) -> Words:
        text: str = self.pick(*_NASTY)
        form = self.pick("plain", "E", "dollar", "unicode", "continued")
        if form == "plain":
            return super().string()
        if form == "unicode":
            return ["U&'" + text.replace("\\", "\\\\").replace("'", "''") + "'"]
        if form == "dollar":
            tag = self.pick("$$", "$a$", "$_1$", "$é$")
            return [f"{tag}{text}{tag}" if "$" not in text else f"$b${text}; '$b$"]
        escaped = text.replace("\\", "\\\\").replace("'", self.pick("\\'", "''"))
        more = self.pick("\n", "\n\n ", " -- it's\n\t") + "'\\';'" if form == "continued" else ""
        return [f"{self.pick('E', 'e')}'{escaped}'{more}"]

    def operator(self) -> Words:
        result: Words = self.pick(
            ["SELECT", "@", "-5", "+", "-", "3"],
            ["SELECT", "'{\"a\": 1}'::jsonb", "#>>", "'{a}'"],
            ["SELECT", "(", "ARRAY[1,2]", ")", "[", "1", "]", "::", "text", "AS", "end"],
            ["SELECT", "4", "OPERATOR(pg_catalog.*)", "-", ".5", "case"],
            ["SELECT", "|/", "4", "<>", "-1"],
        )
        return result

    def atomic(self) -> Words:
        columns = ["a", "begin"]
        body: Words = []
        for _ in self.times(0, 3):
            body += [*self.one_of(self.dml, self.select, self.labelled), ";"]
        body += ["SELECT", *self.expression(columns), ";"]
        return self.words(
            "CREATE {} FUNCTION {} ( a numeric , begin numeric ) RETURNS numeric {} {} ATOMIC {} {}",
            self.pick([], ["OR", "REPLACE"]),
            self.name(),
            self.pick([], ["LANGUAGE", "sql"]),
            self.pick("BEGIN", "begin"),
            body,
            self.pick("END", "end"),
        )

    def labelled(self) -> Words:
        return ["SELECT", *self.expression(["a", "begin"]), *self.pick([], ["AS", "case"], ["end"])]

    def procedure(self) -> Words:
        body: Words = []
        for _ in self.times(0, 3):
            body += [*self.dml(), ";"]
        return self.words("CREATE PROCEDURE {} ( ) BEGIN ATOMIC {} END", self.name(), body)

    def returns(self) -> Words:
        value = self.expression(["a"])
        template = "CREATE FUNCTION {} ( a numeric ) RETURNS numeric RETURN {}"
        return self.words(template, self.name(), value)

    def plpgsql(self) -> Words:
        tag = self.pick("$$", "$body$", "$é1$")
        body = f"{tag} DECLARE s text := 'it''s;'; BEGIN IF s = $q$;$q$ THEN NULL; END IF; "
        body += f"RETURN NULL; END; -- it's {tag}"
        return self.words(
            "CREATE FUNCTION {} ( ) RETURNS trigger {} AS {} {}",
            self.name(),
            ["LANGUAGE", "plpgsql"],
            body,
            self.pick([], ["IMMUTABLE"]),
        )

    def block(self) -> Words:
        body = "BEGIN PERFORM 1; CASE WHEN true THEN NULL; END CASE; END"
        return ["DO", self.pick(f"$${body};$$", f"$x$ {body} $x$", f"'{body}'", f"E'{body}\\n'")]

    def rule(self) -> Words:
        name, _ = self.a_table()
        body = [*self.update(), ";", "NOTIFY", "channel", *self.pick([], [";"])]
        template = "CREATE RULE {} AS ON DELETE TO {} DO ALSO ( {} )"
        return self.words(template, self.name(), name, body)

    def comment(self) -> Words:
        text = self.string()
        return self.words("COMMENT ON TABLE {} IS {}", self.a_table()[0], text)

    def statements(self) -> Sequence[Callable[[], Words]]:
        special = (self.atomic, self.procedure, self.returns, self.plpgsql, self.block, self.rule)
        return (*super().statements(), *special, self.atomic, self.operator, self.comment)


class _MariaDB(_Writer):
    keywords = ("begin", "end", "event", "handler", "until", "do", "atomic", "package", "delimiter")
    columns = ("a", "begin", "end", "event", "`case`", "`a;b`", "$x", "until")
    gaps = (
        *("\n", "\t", "\n\n", " -- it's; END\n", " # don't; ` \" END\n", "/*;*/"),
        *(" /* ' \" /* ; */ ", " /* BEGIN */ "),
    )
    number_type = "double"

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def string(self) -> Words:
        quote = self.pick("'", "'", '"')
        text = self.pick(*_NASTY).replace("\\", "\\\\")
        text = text.replace(quote, self.pick("\\" + quote, quote * 2))
        prefix = self.pick("", "", "", "N") if quote == "'" else ""
        forms = [f"{prefix}{quote}{text}{quote}"], ["x'3b27'"], ["_utf8mb4", "';'"]
        result: Words = self.pick(*forms)
        return result

    def case(self, columns: Sequence[str], depth: int) -> Words:
        if self.chance(3):
            value = self.expression(columns, depth)
            return ["if(", *value, ",", "1", ",", *self.number(), ")"]
        return super().case(columns, depth)

    def table(self) -> Words:
        return [*super().table(), *self.pick([], ["/*!40101", "COMMENT", "'it''s'", "*/"])]

    # Stored programs

    def program(self, depth: int = 0, *, dml: bool = True, **_: object) -> Words:
        """One statement of a body."""
        simple = [self.assignment, self.evaluation, *([self.dml] * dml)]
        if depth > 2 or self.chance(3):
            return self.one_of(*simple)
        nested = (self.branch, self.choice, self.loop, self.leave, self.repeat, self.count)
        return self.one_of(*nested, self.compound, self.compound, depth=depth + 1, dml=dml)

    def body(self, depth: int, *, dml: bool) -> Words:
        result: Words = []
        for _ in range(1 + self.chance(3)):
            result += [*self.program(depth, dml=dml), ";"]
        return result

    def assignment(self) -> Words:
        return ["SET", self.pick("@end", "@case", "@x"), "=", *self.expression(["@if", "@begin"])]

    def evaluation(self) -> Words:
        return ["DO", "if(", *self.expression(), ",", "repeat(", *self.string(), ",", "2", ")", ",", "1", ")"]

    def branch(self, depth: int, *, dml: bool) -> Words:
        rest: Words = []
        if self.chance(2):
            rest += ["ELSEIF", *self.expression(), "THEN", *self.body(depth, dml=dml)]
        if self.chance(2):
            rest += ["ELSE", *self.body(depth, dml=dml)]
        body = self.body(depth, dml=dml)
        return self.words("IF {} THEN {} {} END IF", self.expression(), body, rest)

    def choice(self, depth: int, *, dml: bool) -> Words:
        body, rest = self.body(depth, dml=dml), self.body(depth, dml=dml)
        template = self.pick("CASE {} WHEN 1 THEN {} ELSE {} END CASE", "CASE WHEN {} THEN {} ELSE {} END CASE")
        return self.words(template, self.expression(), body, rest)

    def loop(self, depth: int, *, dml: bool) -> Words:
        condition = self.pick(["0"], ["if(", "1", ",", "0", ",", "1", ")"])
        return self.words("WHILE {} DO {} END WHILE", condition, self.body(depth, dml=dml))

    def leave(self, depth: int, *, dml: bool) -> Words:
        label = self.pick("l", "end_", "`if`") + str(depth)
        label = label.replace("`", "") + "_"
        body = self.body(depth, dml=dml)
        last = self.pick([], [label])
        return self.words("{} : LOOP {} LEAVE {} ; END LOOP {}", label, body, label, last)

    def repeat(self, depth: int, *, dml: bool) -> Words:
        condition = self.pick(["1"], ["CASE", "WHEN", "1", "THEN", "1", "ELSE", "0", "END"])
        return self.words("REPEAT {} UNTIL {} END REPEAT", self.body(depth, dml=dml), condition)

    def count(self, depth: int, *, dml: bool) -> Words:
        sequence = self.pick(
            ["i", "IN", "1", "..", "2"],
            ["r", "IN", "(", "SELECT", "if(", "1", ",", "2", ",", "3", ")", "AS", "a", ")"],
        )
        return self.words("FOR {} DO {} END FOR", sequence, self.body(depth, dml=dml))

    def compound(self, depth: int = 0, *, dml: bool = True, begin: str = "BEGIN") -> Words:
        declared = self.pick(
            [],
            ["DECLARE", "end", ",", "v", "INT", "DEFAULT", *self.expression(), ";"],
            ["DECLARE", "begin", "INT", ";", "DECLARE", "handler", "INT", ";"],
        )
        handler: Words = []
        if self.chance(2):
            handler = self.words(
                "DECLARE {} HANDLER FOR {} {} ;",
                self.pick("CONTINUE", "EXIT"),
                self.pick(["NOT", "FOUND"], ["SQLWARNING", ",", "1062"], ["SQLSTATE", "VALUE", "'42S02'"]),
                self.program(max(depth, 2), dml=dml) if self.chance(2) else ["BEGIN", "END"],
            )
        body = [] if self.chance(5) else self.body(depth, dml=dml)
        return self.words("{} {} {} {} END", begin.split(), declared, handler, body)

    def label(self, words: Words) -> Words:
        return ["whole", ":", *words] if words[0] == "BEGIN" and self.chance(3) else words

    def procedure(self) -> Words:
        return self.words(
            "CREATE {} PROCEDURE {} ( {} ) {} {}",
            self.pick([], ["OR", "REPLACE"], ["DEFINER", "=", "CURRENT_USER"]),
            self.name(),
            self.pick([], ["IN", "begin", "INT", ",", "OUT", "`case`", "INT"]),
            self.pick([], ["NOT", "DETERMINISTIC"], ["NO", "SQL"], ["COMMENT", "'BEGIN;'"]),
            self.label(self.program()),
        )

    def function(self) -> Words:
        ending = ["RETURN", *self.expression()]
        block = ["BEGIN", *self.body(1, dml=False), *ending, ";", "END"]
        return self.words(
            "CREATE FUNCTION {} ( begin INT ) RETURNS {} {} {}",
            self.name(),
            self.pick(["INT"], ["CHAR"], ["VARCHAR", "(", "9", ")", "CHARACTER", "SET", "utf8mb4"]),
            self.pick([], ["DETERMINISTIC"], ["READS", "SQL", "DATA"]),
            self.pick(block, ending, self.label(block)),
        )

    def trigger(self) -> Words:
        return self.words(
            "CREATE TRIGGER {} {} {} ON {} FOR EACH ROW {}",
            self.name(),
            self.pick("BEFORE", "AFTER"),
            self.pick("INSERT", "UPDATE", "DELETE"),
            self.a_table()[0],
            self.label(self.program(dml=False)),
        )

    def event(self) -> Words:
        schedule = self.pick(
            ["EVERY", "1", "DAY", "STARTS", "'2037-01-01'"],
            ["AT", "'2037-01-01'", "ON", "COMPLETION", "PRESERVE", "DISABLE", "COMMENT", "'DO;'"],
            ["EVERY", "if(", "1", ",", "2", ",", "3", ")", "HOUR", "STARTS", "'2037-01-01'"],
        )
        body = self.program()
        return self.words("CREATE EVENT {} ON SCHEDULE {} DO {}", self.name(), schedule, body)

    def block(self) -> Words:
        prefix = self.pick([], [], ["SET", "STATEMENT", "max_statement_time", "=", "9", "FOR"])
        makers: list[Words] = [
            self.compound(dml=False, begin="BEGIN NOT ATOMIC"),
            self.branch(2, dml=False),
            self.choice(2, dml=False),
            self.loop(2, dml=False),
            self.count(2, dml=False),
            self.repeat(2, dml=False),
        ]
        return [*prefix, *self.pick(*makers)]

    def statements(self) -> Sequence[Callable[[], Words]]:
        special = (self.procedure, self.function, self.trigger, self.event, self.block)
        return (*super().statements(), *special, self.procedure)

    def script(self) -> tuple[str, str]:  # type: ignore[override]
        """The script with DELIMITER, and the same without."""
        delimiter, plain, with_delimiter = ";", "", ""
        for maker in [self.table, *(self.pick(*self.statements()) for _ in self.times(1, 6))]:
            text = self.joined(maker())
            wanted = self.pick("//", "$$", ";;", "END_OF_IT", "|", "'//'")
            if ";" not in text and self.chance(2):
                wanted = ";"
            if wanted != delimiter:
                with_delimiter += f"{self.pick('DELIMITER', 'delimiter')} {wanted}\n"
                delimiter = wanted
            between = self.pick("", "", " -- so; it's\n", "/* ; */", "\n")
            with_delimiter += f"{between}{text}{self.pick(' ', chr(10))}{delimiter.strip(chr(39))}\n"
            plain += f"{between}{text}{self.pick('', ' ')};\n"
        return with_delimiter, plain


@st.composite
def sqlite(draw: DrawFn) -> str:
    """A script that SQLite takes."""
    return _SQLite(draw).script()


@st.composite
def postgresql(draw: DrawFn) -> str:
    """A script that PostgreSQL takes."""
    return _PostgreSQL(draw).script()


@st.composite
def mariadb(draw: DrawFn) -> tuple[str, str]:
    """A script that the client of MariaDB takes, with DELIMITER; and the same without."""
    return _MariaDB(draw).script()
