"""What dbmigrate itself is tested with, for what you write.

Kills and races over your migrations, in databases that are made for it:

    check_crash_safe(Migrator(url, "migrations"))
    check_race_safe(Migrator(url, "migrations"), processes=8)

Contract suites for sources and ledgers of your own. They are plain classes: say how to make one, and let any test
framework run the methods, or `check`, which is none.

    class TestArchive(SourceContract):               # pytest
    class TestArchive(SourceContract, TestCase):     # unittest
    check(ArchiveContract)                           # neither

A promise that is broken is an AssertionError (`python -O` changes nothing), one that there is nothing to test it with a
`unittest.SkipTest`, which pytest knows as well. What dbmigrate has built in passes the same suites.
"""

from dbmigrate.testing.checks import Checked as Checked
from dbmigrate.testing.checks import check as check
from dbmigrate.testing.faults import Crashes as Crashes
from dbmigrate.testing.faults import check_crash_safe as check_crash_safe
from dbmigrate.testing.faults import check_race_safe as check_race_safe
from dbmigrate.testing.ledgers import LedgerContract as LedgerContract
from dbmigrate.testing.sources import SourceContract as SourceContract
