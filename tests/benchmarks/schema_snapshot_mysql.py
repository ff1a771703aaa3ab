"""How long the snapshot of a large schema of MariaDB takes, and how many queries.

    python -m tests.benchmarks.schema_snapshot_mysql [tables]

Each table has six columns, three keys, a foreign key and a check, and there is a view for every tenth.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing

from sqlalchemy import create_engine, event

from dbmigrate.schema import snapshot
from tests.benchmarks import common

_TABLE = """CREATE TABLE t{0} (
    id INT AUTO_INCREMENT PRIMARY KEY, parent INT, name VARCHAR(50) NOT NULL DEFAULT 'x', email VARCHAR(100),
    made DATETIME DEFAULT CURRENT_TIMESTAMP, n INT CHECK (n > 0), UNIQUE (email), KEY by_name (name, made),
    CONSTRAINT fk{0} FOREIGN KEY (parent) REFERENCES t{1} (id)
)"""


def main(tables: int) -> None:
    """Make the tables, and print what five snapshots took."""
    with common.open_place("mariadb") as place, place.database("large") as url:
        print(*place.versions, sep=", ")
        with closing(common.connect("mariadb", url)) as connection:
            cursor = connection.cursor()
            for number in range(tables):
                cursor.execute(_TABLE.format(number, max(number - 1, 0)))
                if number % 10 == 0:
                    cursor.execute(f"CREATE VIEW v{number} AS SELECT id, name FROM t{number} WHERE n > 1")
        engine, sent = create_engine(url), list[object]()
        event.listen(engine, "before_cursor_execute", lambda *_: sent.append(None))
        with engine.connect() as connection:
            for _ in range(5):
                sent.clear()
                began = time.perf_counter()
                found = snapshot(connection)
                seconds = time.perf_counter() - began
                print(f"{tables} tables, {len(found.objects)} objects: {len(sent)} queries, {seconds:.2f} s")
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
