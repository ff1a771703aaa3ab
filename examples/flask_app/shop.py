"""A Flask application that serves only if its database is what it needs, and a command that makes it so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask, jsonify, request
from flask.cli import FlaskGroup
from sqlalchemy import column, create_engine, insert, select, table

from dbmigrate import MigrationError, Migrator

if TYPE_CHECKING:
    from flask import Response

MIGRATIONS = Path(__file__).parent / "migrations"
NOTES = table("notes", column("body"), column("written_at"))


def create_app(database_url: str | None = None) -> Flask:
    """Make the application. Raises NotCurrent if it is to serve and the database is behind."""
    app = Flask(__name__)
    url = database_url or os.environ["DATABASE_URL"]
    engine = create_engine(url)
    migrator = Migrator(url, MIGRATIONS)  # by URL: the pool stays empty, for servers that fork behind this
    if _is_to_serve():
        migrator.verify()

    @app.cli.command("db-upgrade")
    def db_upgrade() -> None:
        """Apply every migration that is pending."""
        try:
            report = migrator.upgrade()
        except MigrationError as error:
            raise click.ClickException(str(error)) from error
        for outcome in report.outcomes:
            click.echo(f"applied {outcome.step.migration}")
        if not report:
            click.echo("nothing to do")

    @app.get("/notes")
    def read_notes() -> Response:
        with engine.connect() as connection:
            return jsonify(connection.scalars(select(NOTES.c.body).order_by(NOTES.c.written_at)).all())

    @app.post("/notes")
    def add_note() -> tuple[str, int]:
        with engine.begin() as connection:
            connection.execute(insert(NOTES).values(body=request.get_json()["body"]))
        return "", 201

    return app


def _is_to_serve() -> bool:
    """Tell a server, `flask run` among them, from other commands of `flask`, which work while it is behind."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return True
    return context.info_name == "run"
