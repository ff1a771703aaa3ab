"""A FastAPI application that serves only if its database is what it needs.

In production a release step migrates, and each pod verifies. In development the application upgrades by itself.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, column, create_engine, insert, select, table

from dbmigrate import Migrator

MIGRATIONS = Path(__file__).parent / "migrations"
NOTES = table("notes", column("body"), column("written_at"))


@dataclass(frozen=True)
class Settings:
    """What differs from place to place."""

    database_url: str
    #: Whether to upgrade at the start: in development. Elsewhere the start fails while the database is behind.
    upgrade: bool = False

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read DATABASE_URL and SHOP_ENV."""
        return cls(os.environ["DATABASE_URL"], upgrade=os.environ.get("SHOP_ENV") == "development")


class State(TypedDict):
    """What requests find in `request.state`."""

    engine: Engine


class Note(BaseModel):
    """What a client sends."""

    body: str


def connection(request: Request) -> Iterator[Connection]:
    """Give a request its transaction."""
    with request.state.engine.begin() as connection:
        yield connection


# Committed before the response is sent: otherwise a client might be told of what is not so.
Transaction = Annotated[Connection, Depends(connection, scope="function")]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application; nothing is touched before it starts."""
    settings = settings or Settings.from_environment()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        engine = create_engine(settings.database_url)
        migrator = Migrator(engine, MIGRATIONS)
        try:
            # In a thread, for both block: the event loop stays free.
            await asyncio.to_thread(migrator.upgrade if settings.upgrade else migrator.verify)
            yield {"engine": engine}
        finally:
            engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/notes")
    def read_notes(connection: Transaction) -> list[str]:
        return list(connection.scalars(select(NOTES.c.body).order_by(NOTES.c.written_at)))

    @app.post("/notes", status_code=201)
    def add_note(note: Note, connection: Transaction) -> None:
        connection.execute(insert(NOTES).values(body=note.body))

    return app
