"""PostgreSQL, where whoever runs the migrations is not who owns the tables."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dbmigrate.dialects.base import send
from dbmigrate.dialects.postgresql import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sqlalchemy import Connection


class OwnedBy(PostgreSQL):
    """Each session of a Migrator has a role, so that what it creates belongs to that role."""

    def __init__(self, role: str) -> None:
        """Take the name of the role, which the user of the connection must be a member of."""
        self.role = role

    @contextmanager
    def session(self, connection: Connection, wait: float) -> Generator[None]:
        """Become the role; the session is closed at the end, and the role with it."""
        with super().session(connection, wait):
            send(connection, f"SET ROLE {self.quoted(self.role)}")
            yield

    def settings(self, connection: Connection) -> Sequence[str]:
        """Have a plan that is printed do the same."""
        return (*super().settings(connection), f"SET ROLE {self.quoted(self.role)}")
