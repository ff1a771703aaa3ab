"""Upgrade a SQLite file from the migrations folder beside this file, and say what happened.

Run it twice: the second time there is nothing to do.
"""

from pathlib import Path

from dbmigrate import Migrator

HERE = Path(__file__).parent


def main() -> None:
    """Bring app.db up to date."""
    migrator = Migrator(f"sqlite:///{HERE / 'app.db'}", HERE / "migrations")

    report = migrator.upgrade()

    for outcome in report.outcomes:
        print(f"applied {outcome.step.migration} in {outcome.seconds * 1000:.1f} ms")
    if not report:
        print("nothing to do")
    for entry in migrator.status().entries:
        print(entry)


if __name__ == "__main__":
    main()
