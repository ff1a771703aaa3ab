"""The shop's own release binary: `shop-migrate upgrade`, and every other command."""

import os

from dbmigrate import Migrator, PackageSource
from dbmigrate.cli import make_cli

main = make_cli(lambda: Migrator(os.environ["DATABASE_URL"], PackageSource("shop", "migrations")), prog="shop-migrate")
