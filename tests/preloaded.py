"""Imported once by the server process that the test processes are forked from."""

import sqlalchemy

import dbmigrate.cli.commands
import dbmigrate.cli.config
import dbmigrate.layouts.native
import tests.processes
from dbmigrate import MemorySource, Migrator, sql_migration
from tests import servers

_SOURCE = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER); DROP TABLE a")])
_NAMES = {"postgresql": "postgresql", "mariadb": "mysql"}

#: One URL for each driver that is there.
URLS = [
    "sqlite:///x",
    *(
        f"{_NAMES[k]}+{driver}://h/x"
        for k in servers.KINDS
        for driver in servers.DRIVERS[k]
        if not servers.missing(driver)
    ),
]

for url in URLS:
    # Dialects are imported and patterns compiled when they are first used, which would be in each process anew.
    Migrator(sqlalchemy.create_engine(url), _SOURCE).validate()

__all__ = ["URLS", "dbmigrate", "tests"]
