"""What dbmigrate costs, measured; run by hand, one command for each question.

    python -m tests.benchmarks.apply            applying 1,000 migrations
    python -m tests.benchmarks.nothing_pending  upgrade() when everything is applied
    python -m tests.benchmarks.peers            Alembic, yoyo and Django beside it
    python -m tests.benchmarks.memory           the peak of memory with large files
    python -m tests.benchmarks.imports          `import dbmigrate`
    python -m tests.benchmarks.scanner          cutting 50 MB of SQL into statements
    python -m tests.benchmarks.lock_queue       readers behind a migration that waits for a lock
    python -m tests.benchmarks.snapshot         snapshots of large schemas
    python -m tests.benchmarks.kit              a fresh database for each test, by the plugin of pytest

Each takes `--help`. The base of the ratios is `loop.py`, what one would write by hand with the
same guarantees. Times differ between machines and between runs, so only what was measured side by
side in one run is compared: contestants take turns in random order, a ratio is taken within one
turn, and the median over all turns is printed, with the smallest and the largest in brackets.
Targets are printed for comparison; nothing fails when one is missed.
"""
