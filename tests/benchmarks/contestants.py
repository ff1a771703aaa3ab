"""The tools that `peers.py` compares, each behind the same two calls; run as a process of its own.

    python -m tests.benchmarks.contestants TOOL upgrade|revert FOLDER ADDRESS MODULES

Making a contestant imports the tool, the driver, and the modules that are named besides; how long
that takes is one answer. The call that follows is the other: it connects, does the work, and closes
its connection. Nothing that an earlier call left in the process can help, for there was none. The
third answer is which modules the call itself has imported: those to name the next time.

This module imports little, so that it does not import for anybody what is then counted as free.
The tools other than ours come by `import_module`: they may be missing, and have no types for us.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Address(NamedTuple):
    """A database in words that every tool can be told; SQLite has nothing but the file."""

    kind: str
    database: str
    host: str = ""
    port: int = 0
    user: str = ""

    @property
    def url(self) -> str:
        """What SQLAlchemy calls it."""
        if self.kind == "sqlite":
            return f"sqlite:///{self.database}"
        return f"postgresql+psycopg://{self.user}@/{self.database}?host={self.host}&port={self.port}"


class Script(NamedTuple):
    """A migration: its version and name, and its statements."""

    stem: str
    up: list[str]
    down: list[str]

    @property
    def version(self) -> str:
        """The digits in front."""
        return self.stem.partition("_")[0]


class Contestant:
    """A tool that is told where the database and its own files are."""

    #: How a table calls it.
    title: ClassVar[str]
    #: The package it comes in.
    distribution: ClassVar[str | None] = None
    #: What is imported to see whether it is installed.
    module: ClassVar[str | None] = None

    def __init__(self, address: Address, folder: str) -> None:
        self.address = address
        self.folder = folder

    @classmethod
    def write(cls, scripts: Sequence[Script], folder: Path) -> None:
        """Write the history in the tool's own form, beginning with an empty folder."""
        for script in scripts:
            _write_sql(folder / f"{script.stem}.up.sql", script.up)
            _write_sql(folder / f"{script.stem}.down.sql", script.down)

    def upgrade(self) -> None:
        """Apply everything pending."""
        raise NotImplementedError

    def revert(self) -> None:
        """Take everything back."""
        raise NotImplementedError


class HandWritten(Contestant):
    """The loop of `loop.py` over a driver."""

    title = "loop"

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address, folder)
        self._driver: Any = import_module("sqlite3" if address.kind == "sqlite" else "psycopg")
        self._loop: Any = import_module("tests.benchmarks.loop").Loop

    def upgrade(self) -> None:
        """Apply everything pending."""
        with closing(self._connect()) as connection:
            self._loop(self.address.kind, connection).upgrade(self.folder)

    def revert(self) -> None:
        """Take everything back."""
        with closing(self._connect()) as connection:
            self._loop(self.address.kind, connection).revert(self.folder)

    def _connect(self) -> Any:
        at = self.address
        if at.kind == "sqlite":
            return self._driver.connect(at.database, isolation_level=None)
        return self._driver.connect(host=at.host, port=at.port, user=at.user, dbname=at.database, autocommit=True)


class Ours(Contestant):
    """dbmigrate, from a URL."""

    title = "dbmigrate"
    distribution = "dbmigrate"

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address, folder)
        self._migrator: Any = import_module("dbmigrate").Migrator
        sqlalchemy: Any = import_module("sqlalchemy")
        sqlalchemy.create_engine(address.url)  # imports the driver, and connects to nothing

    def upgrade(self) -> None:
        """Apply everything pending."""
        self._migrator(self.address.url, self.folder).upgrade()

    def revert(self) -> None:
        """Take everything back."""
        self._migrator(self.address.url, self.folder).downgrade(to="base")


class Alembic(Contestant):
    """Alembic by its commands, with a transaction for each migration, on SQLite too.

    On SQLite that takes what SQLAlchemy's documentation advises: its own BEGIN.
    """

    title = "Alembic"
    distribution = "alembic"
    module = "alembic"

    _ENVIRONMENT: Final = """\
from alembic import context
from sqlalchemy import NullPool, create_engine, event

engine = create_engine(context.config.attributes["url"], poolclass=NullPool)

if engine.dialect.name == "sqlite":

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection, record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN")


with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
"""

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address, folder)
        self._command: Any = import_module("alembic.command")
        self._config: Any = import_module("alembic.config").Config
        import_module("sqlalchemy").create_engine(address.url)

    @classmethod
    def write(cls, scripts: Sequence[Script], folder: Path) -> None:
        """Write a Python file of `op.execute` for each."""
        (folder / "versions").mkdir()
        (folder / "env.py").write_text(cls._ENVIRONMENT)
        before: str | None = None
        for script in scripts:
            lines = ["from alembic import op", "", f"revision = {script.version!r}", f"down_revision = {before!r}"]
            for name, statements in (("upgrade", script.up), ("downgrade", script.down)):
                lines += ["", "", f"def {name}():", *(f"    op.execute({s!r})" for s in statements)]
            (folder / "versions" / f"{script.stem}.py").write_text("\n".join([*lines, ""]))
            before = script.version

    def upgrade(self) -> None:
        """Apply everything pending."""
        self._command.upgrade(self._configuration(), "head")

    def revert(self) -> None:
        """Take everything back."""
        self._command.downgrade(self._configuration(), "base")

    def _configuration(self) -> Any:
        configuration = self._config(attributes={"url": self.address.url})
        configuration.set_main_option("script_location", self.folder.replace("%", "%%"))
        return configuration


class Yoyo(Contestant):
    """yoyo with SQL files, as its documentation calls it from Python: under its lock."""

    title = "yoyo"
    distribution = "yoyo-migrations"
    module = "yoyo"

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address, folder)
        self._yoyo: Any = import_module("yoyo")

    @classmethod
    def write(cls, scripts: Sequence[Script], folder: Path) -> None:
        """Write two SQL files for each, under yoyo's names."""
        for script in scripts:
            _write_sql(folder / f"{script.stem}.sql", script.up)
            _write_sql(folder / f"{script.stem}.rollback.sql", script.down)

    def upgrade(self) -> None:
        """Apply everything pending."""
        migrations = self._yoyo.read_migrations(self.folder)
        with self._backend() as backend, backend.lock():
            backend.apply_migrations(backend.to_apply(migrations))

    def revert(self) -> None:
        """Take everything back."""
        migrations = self._yoyo.read_migrations(self.folder)
        with self._backend() as backend, backend.lock():
            backend.rollback_migrations(backend.to_rollback(migrations))

    def _backend(self) -> Any:
        # Its URLs are written as SQLAlchemy's are.
        return self._yoyo.get_backend(self.address.url)


class Django(Contestant):
    """Django's `migrate` command, with one application and no models."""

    title = "Django"
    distribution = "django"
    module = "django"

    _APPLICATION: Final = "bench"

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address, folder)
        sys.path.insert(0, folder)
        django: Any = import_module("django")
        database: dict[str, object] = {
            "ENGINE": f"django.db.backends.{'sqlite3' if address.kind == 'sqlite' else 'postgresql'}",
            "NAME": address.database,
            "HOST": address.host,
            "PORT": address.port or "",
            "USER": address.user,
        }
        import_module("django.conf").settings.configure(
            DATABASES={"default": database},
            INSTALLED_APPS=[self._APPLICATION],
            USE_TZ=True,
        )
        django.setup()
        self._call: Any = import_module("django.core.management").call_command
        self._connections: Any = import_module("django.db").connections

    @classmethod
    def write(cls, scripts: Sequence[Script], folder: Path) -> None:
        """Write a Python file with one `RunSQL` for each."""
        migrations = folder / cls._APPLICATION / "migrations"
        migrations.mkdir(parents=True)
        (migrations.parent / "__init__.py").touch()
        (migrations / "__init__.py").touch()
        before: list[tuple[str, str]] = []
        for script in scripts:
            text = (
                "from django.db import migrations\n\n\n"
                "class Migration(migrations.Migration):\n"
                f"    dependencies = {before!r}\n"
                f"    operations = [migrations.RunSQL({script.up!r}, reverse_sql={script.down!r})]\n"
            )
            (migrations / f"{script.stem}.py").write_text(text)
            before = [(cls._APPLICATION, script.stem)]

    def upgrade(self) -> None:
        """Apply everything pending."""
        self._migrate()

    def revert(self) -> None:
        """Take everything back."""
        self._migrate(self._APPLICATION, "zero")

    def _migrate(self, *target: str) -> None:
        self._call("migrate", *target, verbosity=0)
        self._connections.close_all()


def _write_sql(path: Path, statements: list[str]) -> None:
    path.write_text("".join(f"{statement};\n" for statement in statements))


CONTESTANTS: Final[dict[str, type[Contestant]]] = {
    contestant.title.lower(): contestant for contestant in (Ours, HandWritten, Alembic, Yoyo, Django)
}


def main() -> None:
    """Answer as JSON: CPU seconds of importing, seconds of the call on the clock and of CPU, and modules."""
    tool, action, folder, address, modules = sys.argv[1:]
    clock = time.process_time()
    contestant = CONTESTANTS[tool](Address(*json.loads(address)), folder)
    for module in json.loads(modules):
        import_module(module)
    imported = time.process_time() - clock
    known = set(sys.modules)
    call = contestant.upgrade if action == "upgrade" else contestant.revert
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # A module is listed once it is complete. So the last has imported those before it, and is to be
    # the first the next time: among modules that import each other only its order is sure to work.
    late = [
        name
        for name, module in reversed(sys.modules.items())
        # Migrations are modules for some, and reading them is part of the work.
        if name not in known and folder not in (getattr(module, "__file__", None) or folder)
    ]
    print(json.dumps([imported, wall, cpu, late]))


if __name__ == "__main__":
    main()
