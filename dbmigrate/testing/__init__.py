"""What dbmigrate itself is tested with, for what you write.

Kills and races over your migrations, in databases that are made for it:

    check_crash_safe(Migrator(url, "migrations"))
    check_race_safe(Migrator(url, "migrations"), processes=8)

The tests that every project with migrations wants, in one line where the plugin of pytest is told the Migrator (see
`pytest_dbmigrate`, which also has databases for your other tests), or else with a method `make`:

    class TestMigrations(MigrationTests): ...

Contract suites for sources, ledgers and dialects of your own. All these are plain classes: say how to make one, and let
any test framework run the methods, or `check`, which is none.

    class TestArchive(SourceContract):               # pytest
    class TestArchive(SourceContract, TestCase):     # unittest
    check(ArchiveContract)                           # neither

A promise that is broken is an AssertionError (`python -O` changes nothing), one that there is nothing to test it with a
`unittest.SkipTest`, which pytest knows as well. What dbmigrate has built in passes the same suites.
"""

from dbmigrate.testing.checks import Checked as Checked
from dbmigrate.testing.checks import check as check
from dbmigrate.testing.dialects import DialectContract as DialectContract
from dbmigrate.testing.faults import Crashes as Crashes
from dbmigrate.testing.faults import check_crash_safe as check_crash_safe
from dbmigrate.testing.faults import check_race_safe as check_race_safe
from dbmigrate.testing.ledgers import LedgerContract as LedgerContract
from dbmigrate.testing.migrations import MigrationTests as MigrationTests
from dbmigrate.testing.sources import SourceContract as SourceContract
