"""x"""
from __future__ import annotations
import os
import pytest
from dbmigrate.schema import code, diff, snapshot
from tests.conftest import Database
from tests.schema.postgresql_history import ROLES, history
from tests.schema.test_postgresql import full

@pytest.mark.default_driver
def test_try(full: Database) -> None:
    with full.engine().connect() as c:
        t = code(c); before = snapshot(c)
    open('/tmp/sc_out.py','w').write(t)
    prerequisites = ("extension", "schema", "collation", "type", "enum","domain","sequence", "function", "aggregate", "procedure")
    o = full.another()
    from dbmigrate.schema import script
    from dbmigrate.catalogue import sorted_snapshot
