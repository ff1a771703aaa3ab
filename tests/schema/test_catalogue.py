"""Snapshots and their differences, as values: no database is needed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigrate.catalogue import KINDS, Object, made, sorted_snapshot
from dbmigrate.schema import Change, Snapshot, diff, script

_NAMES = st.text("abc. '\n", min_size=1, max_size=3)
_VALUES = st.one_of(
    st.just(value=True), st.integers(), st.text("ab\n-", min_size=1), st.lists(st.text("ab"), min_size=1).map(tuple)
)
_OBJECTS = st.lists(
    st.builds(
        made,
        st.sampled_from(KINDS),
        _NAMES,
        st.dictionaries(st.sampled_from(["type", "definition", "x"]), _VALUES),
        schema=st.sampled_from(["", "s"]),
        table=st.sampled_from(["", "a", "b"]),
        position=st.integers(0, 3),
    ),
    unique_by=lambda item: item.key,
)


@given(_OBJECTS, st.randoms())
def test_the_order_is_always_the_same(objects: list[Object], random: object) -> None:
    """Whatever order objects come in; and JSON keeps all of it, also if its keys are sorted."""
    taken = sorted_snapshot("x", objects)
    random.shuffle(objects)  # type: ignore[attr-defined]
    stored = Snapshot.from_dict(json.loads(json.dumps(taken.to_dict(), sort_keys=True)))

    assert sorted_snapshot("x", objects) == taken == stored
    assert str(sorted_snapshot("x", objects)) == str(stored)
    assert [item.position for item in taken] == [item.position for item in stored]


@given(_OBJECTS, _OBJECTS)
def test_differences_are_all_there_is(one: list[Object], other: list[Object]) -> None:
    """There are none between equal snapshots only; the way back is the same with the ends exchanged."""
    a, b = sorted_snapshot("x", one), sorted_snapshot("x", other)
    there, back = diff(a, b), diff(b, a)

    assert (there == ()) == (a == b)
    assert {(c.before, c.after) for c in there} == {(c.after, c.before) for c in back}
    assert all(str(change) and json.dumps(change.to_dict()) for change in there)


def test_what_is_said() -> None:
    """What, where, from and to; a long text as the lines that differ."""
    a = made("table", "t", {"comment": "old"}, schema="s")
    b = made("table", "t", {"strict": True}, schema="s")
    assert str(Change(a, b)) == "table s.t:\n    comment: old -> none\n    strict: none -> yes"

    column = made("column", "c", {"type": "int", "not null": True, "0": 0}, schema="s", table="t")
    assert str(Change(None, column)) == "column s.t.c is new\n    type int\n    not null\n    0 0"
    assert str(Change(column, None)).startswith("column s.t.c is gone")
    assert Change(column, None).to_dict()["change"] == "removed"

    view, other = (made("view", "v", {"definition": f"SELECT {n}\nFROM t"}) for n in (1, 2))
    assert str(Change(view, other)) == "view v:\n    definition:\n    - SELECT 1\n    + SELECT 2\n      FROM t"


def test_what_is_new_or_gone_has_its_parts_with_it() -> None:
    """Only if it is the table that is gone, and not something else of its name."""
    table, column, kind = made("table", "t"), made("column", "c", {"type": "int"}, table="t"), made("type", "t")
    empty, full = sorted_snapshot("x", []), sorted_snapshot("x", [table, column])

    for (change,), word in ((diff(full, empty), "gone"), (diff(empty, full), "new")):
        assert change.parts == (column,)
        assert str(change) == f"table t is {word}\n    column c: type int"
        assert json.loads(json.dumps(change.to_dict()))["parts"] == [
            {"kind": "column", "schema": "", "table": "t", "name": "c", "position": 0, "properties": [["type", "int"]]}
        ]
    with_type = sorted_snapshot("x", [table, column, kind])
    changes = diff(with_type, sorted_snapshot("x", [table]))
    assert [(str(c.object), c.parts) for c in changes] == [("type t", ()), ("column t.c", ())]
    assert [(str(c.object), c.parts) for c in diff(with_type, empty)] == [("type t", ()), ("table t", (column,))]


def test_something_else_by_the_same_name_has_parts_of_its_own() -> None:
    """Also those that both have."""
    table, view = made("table", "t"), made("view", "t", {"definition": "SELECT 1"})
    x, y, z = (
        made("column", name, {"type": kind}, table="t") for name, kind in (("x", "int"), ("y", "int"), ("y", "text"))
    )

    changes = diff(sorted_snapshot("x", [table, x, y]), sorted_snapshot("x", [view, x, z]))

    assert [(str(c.object), c.before is None, c.parts) for c in changes] == [
        ("table t", False, (x, y)),
        ("view t", True, (x, z)),
    ]


def test_the_text() -> None:
    """A line an object; parts stand below what they are parts of."""
    found = [
        made("column", "c", {"type": "int", "key": ("a", "b")}, table="t"),
        made("view", "v", {"definition": "SELECT 1\nFROM t", "x": True}),
        made("table", "t"),
    ]

    assert str(sorted_snapshot("x", found)) == (
        "table t\n    column c: type int; key (a, b)\nview v: x\n    definition\n    | SELECT 1\n    | FROM t\n"
    )


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"format": 2, "type": "Snapshot", "dialect": "x", "objects": []},
        {"format": 1, "type": "Plan", "dialect": "x", "objects": []},
        {"format": 1, "type": "Snapshot", "dialect": "x", "objects": [{}]},
        {"format": 1, "type": "Snapshot", "dialect": "x", "objects": [{"kind": "moon"}]},
        {"format": 1, "type": "Snapshot", "dialect": "x", "objects": None},
    ],
)
def test_what_is_no_snapshot_is_refused(plain: dict[str, object]) -> None:
    """Clearly, and always with the same error."""
    with pytest.raises(ValueError, match=r"no snapshot|no kind"):
        Snapshot.from_dict(plain)


def test_two_families_cannot_be_compared() -> None:
    """Their words for the same thing differ."""
    a, b = sorted_snapshot("sqlite", []), sorted_snapshot("mysql", [])

    assert a != b
    with pytest.raises(ValueError, match="sqlite and one of mysql cannot be compared"):
        diff(a, b)
    with pytest.raises(ValueError, match="no SQL for a snapshot of 'x'"):
        script(sorted_snapshot("x", []))
