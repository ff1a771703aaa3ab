"""Did a statement run, whose process died before the answer came? What the catalogue said before it, and says now.

Laws: pure functions of values; that something is there proves nothing, only that it was not there before and is now,
and is defined as the statement says, as far as both can be compared: by the words of the statement, whether it is
unique, and how many columns it has. Whatever does not fit is a person's to judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from dbmigrate.scanner import Grammar, Statement, tokens

Verdict = Literal["done", "not done"]
#: What a catalogue says: each thing by its kind and name ("table `shop`.`users`"), and how it is defined. Parts of a
#: table are things of their own, named behind it.
Seen = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """What the text of a statement has of the definition of a thing."""

    #: In lower case; the catalogue has them too.
    words: frozenset[str] = frozenset()
    #: Of an index. None: it is none.
    unique: bool | None = None
    #: How many columns or expressions it is made of. None: it is no index.
    columns: int | None = None

    def fits(self, definition: str) -> bool:
        """Tell whether a definition of the catalogue can be what the statement says."""
        found = set(_WORD.findall(definition.lower()))
        if self.unique is not None and self.unique != ("unique" in found):
            return False
        return self.words <= found and self.columns in (None, _columns(definition))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a statement does to the catalogue if it takes effect, as its text has it."""

    #: Where to look: things by kind and name.
    places: tuple[str, ...] = ()
    #: What must be there then and not before, or before and not then, or at both times and differ. A name that ends
    #: with * is the one that begins so.
    appears: frozenset[str] = frozenset()
    vanishes: frozenset[str] = frozenset()
    alters: frozenset[str] = frozenset()
    #: What else may change: whatever mentions one of these names.
    names: frozenset[str] = frozenset()
    #: To run it once more changes nothing more.
    repeatable: bool = False
    #: It does nothing where what is to appear is there already (IF NOT EXISTS).
    optional: bool = False
    #: How some of that must be defined then.
    said: Mapping[str, Said] = field(default_factory=dict[str, Said])
    #: The columns that a new table has, and no others.
    columns: frozenset[str] = frozenset()
    #: Of each of these the first one that is there before must not be there then.
    either: frozenset[tuple[str, ...]] = frozenset()


REPEATABLE = Effect(repeatable=True)
_WORD = re.compile(r"\w+")


def judge(effect: Effect, before: Seen, now: Seen) -> Verdict | None:
    """Say whether a statement took effect. None: neither all of it nor nothing, or somebody else was at work too."""
    came, went = now.keys() - before.keys(), before.keys() - now.keys()
    changed = came | went | {thing for thing in before.keys() & now.keys() if before[thing] != now[thing]}
    if effect.repeatable or not changed:
        return "not done"

    if not effect.alters <= changed - came - went or not _fits(effect, came, now):
        return None
    explained = set(effect.alters)
    for wanted, found in ((effect.appears, came), (effect.vanishes, went)):
        for name in wanted:
            fitting = {thing for thing in found if _is(thing, name)}
            if not fitting or (name.endswith("*") and len(fitting) > 1):
                return None
            explained |= fitting
    for things in effect.either:
        name = next((thing for thing in things if thing in before), "")
        if name not in went:
            return None
        explained.add(name)
    names = [name.lower() for name in effect.names]
    for thing in changed - explained:
        texts = [text.lower() for text in (thing, before.get(thing, ""), now.get(thing, ""))]
        if not any(name in text for name in names for text in texts):
            return None
    return "done"


def _fits(effect: Effect, came: Collection[str], now: Seen) -> bool:
    """Tell whether what came, or was altered, is defined as the statement says."""
    if effect.columns and effect.columns != frozenset(thing for thing in came if " column " in thing):
        return False
    things = {name: [t for t in came if _is(t, name)] if name in effect.appears else [name] for name in effect.said}
    return all(effect.said[name].fits(now.get(thing, "")) for name, found in things.items() for thing in found)


def _columns(definition: str) -> int:
    """Return how many items there are in the first parentheses of a definition."""
    depth, count = 0, 1
    for sign in re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "", definition):
        depth += (sign == "(") - (sign == ")")
        count += sign == "," and depth == 1
        if sign == ")" and depth == 0:
            break
    return count


def _is(thing: str, name: str) -> bool:
    """Tell whether a thing is the one of that name, or a part of it."""
    return thing.startswith(name[:-1]) if name.endswith("*") else thing == name or thing.startswith(f"{name} ")


def written(seen: Seen) -> str:
    """Return what was seen as the journal keeps it."""
    return json.dumps(dict(seen), ensure_ascii=False, sort_keys=True)


def differences(before: Seen, now: Seen) -> Iterator[str]:
    """Say for people what changed, a line for each thing."""
    for thing in sorted({*before, *now}):
        was, is_now = before.get(thing), now.get(thing)
        if was != is_now:
            yield f"{thing}: {'absent' if was is None else was} before, {'absent' if is_now is None else is_now} now"


@dataclass(slots=True)
class Words:
    """The significant tokens of a statement, taken one by one."""

    grammar: Grammar
    found: list[tuple[str, str]]
    place: int = 0

    @classmethod
    def of(cls, statement: Statement, grammar: Grammar) -> Words:
        """Read a statement."""
        pieces = tokens(statement.text, grammar)
        return cls(grammar, [(kind, text) for kind, text, _ in pieces if kind not in ("space", "comment", "code")])

    def peek(self, ahead: int = 0) -> str:
        """Return a word in upper case, an operator, "?" for a name in quotes, "" at the end."""
        if self.place + ahead >= len(self.found):
            return ""
        kind, text = self.found[self.place + ahead]
        return text.upper() if kind in ("word", "operator", "number") else "?"

    def skip(self, *words: str) -> bool:
        """Take these words if they come next, one behind the other."""
        if all(self.peek(ahead) == word for ahead, word in enumerate(words)):
            self.place += len(words)
            return True
        return False

    def skip_any(self, *words: str) -> None:
        """Take all that are among these words."""
        while self.peek() in words:
            self.place += 1

    def name(self) -> str | None:
        """Take a name, without its quotes. None: there is none here."""
        if self.place >= len(self.found):
            return None
        kind, text = self.found[self.place]
        if kind not in ("word", "name") and not (kind == "string" and text[0] == '"'):
            return None
        self.place += 1
        quote = text[0] if text[0] in '"`[' else ""
        return text[1:-1].replace(quote * 2, quote) if quote else text

    def names(self) -> list[str]:
        """Take a name with what it is qualified by, outermost first."""
        found = [first] if (first := self.name()) is not None else []
        while found and self.skip("."):
            if (part := self.name()) is None:
                return []
            found.append(part)
        return found

    def said(self, *but: str) -> frozenset[str]:
        """Return the words, names and numbers of what is left, in lower case, without some."""
        found = (text for kind, text in self.found[self.place :] if kind in ("word", "name", "number", "string"))
        return frozenset(word for text in found for word in _WORD.findall(text.lower())) - {*but}

    def inside(self) -> Self:
        """Take what is in the parentheses that begin here, without them."""
        begin, depth = self.place + 1, 0
        while self:
            depth += (self.peek() == "(") - (self.peek() == ")")
            self.place += 1
            if depth == 0:
                break
        return type(self)(self.grammar, self.found[begin : self.place - 1])

    def items(self) -> list[Self]:
        """Take all that is left, cut at its commas."""
        found = list[Self]()
        while self:
            found.append(self.to_comma())
        return found

    def to_comma(self) -> Self:
        """Take everything up to the next comma that is in no parentheses, and the comma."""
        depth, begin = 0, self.place
        while self.place < len(self.found) and not (depth == 0 and self.peek() == ","):
            depth += (self.peek() == "(") - (self.peek() == ")")
            self.place += 1
        part = type(self)(self.grammar, self.found[begin : self.place])
        self.place += 1
        return part

    def __bool__(self) -> bool:
        return self.place < len(self.found)
