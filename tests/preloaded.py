"""Imported once by the server process that the test processes are forked from."""

import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite

import dbmigrate.cli.commands
import dbmigrate.cli.config
import dbmigrate.dialects.mysql
import dbmigrate.dialects.postgresql
import dbmigrate.dialects.sqlite
import tests.processes
from tests import servers

#: The drivers that are not there; to ask imports the others.
MISSING = [driver for drivers in servers.DRIVERS.values() for driver in drivers if servers.missing(driver)]

__all__ = ["MISSING", "dbmigrate", "sqlalchemy", "tests"]
