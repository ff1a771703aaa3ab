"""Keep a database schema under version control, from inside your application.

>>> from dbmigrate import Migrator
>>> Migrator("sqlite:///app.db").upgrade()  # doctest: +SKIP
"""

from dbmigrate.errors import ConfigurationError as ConfigurationError
from dbmigrate.errors import HistoryError as HistoryError
from dbmigrate.errors import LedgerConflict as LedgerConflict
from dbmigrate.errors import LedgerError as LedgerError
from dbmigrate.errors import MigrationError as MigrationError
from dbmigrate.errors import MigrationFailed as MigrationFailed
from dbmigrate.errors import MigrationInProgress as MigrationInProgress
from dbmigrate.errors import NotCurrent as NotCurrent
from dbmigrate.errors import SourceError as SourceError
from dbmigrate.errors import StalePlan as StalePlan
from dbmigrate.errors import TargetError as TargetError
from dbmigrate.ledger import Ledger as Ledger
from dbmigrate.ledger import TableLedger as TableLedger
from dbmigrate.migrator import Migrator as Migrator
from dbmigrate.model import VERSION as _VERSION
from dbmigrate.model import Ahead as Ahead
from dbmigrate.model import Body as Body
from dbmigrate.model import Edited as Edited
from dbmigrate.model import Event as Event
from dbmigrate.model import Finding as Finding
from dbmigrate.model import Migration as Migration
from dbmigrate.model import Missing as Missing
from dbmigrate.model import Outcome as Outcome
from dbmigrate.model import OutOfOrder as OutOfOrder
from dbmigrate.model import Plan as Plan
from dbmigrate.model import Record as Record
from dbmigrate.model import Report as Report
from dbmigrate.model import Retrying as Retrying
from dbmigrate.model import StatementFinished as StatementFinished
from dbmigrate.model import Status as Status
from dbmigrate.model import StatusEntry as StatusEntry
from dbmigrate.model import Step as Step
from dbmigrate.model import StepFinished as StepFinished
from dbmigrate.model import StepStarted as StepStarted
from dbmigrate.model import Unfinished as Unfinished
from dbmigrate.model import Waiting as Waiting
from dbmigrate.python import python_migration as python_migration
from dbmigrate.script import Problem as Problem
from dbmigrate.source import FilesystemSource as FilesystemSource
from dbmigrate.source import MemorySource as MemorySource
from dbmigrate.source import PackageSource as PackageSource
from dbmigrate.source import Source as Source
from dbmigrate.source import sql_migration as sql_migration

__version__ = _VERSION
