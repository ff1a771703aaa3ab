"""`python -m dbmigrate` is the command line."""

from dbmigrate.cli import serve

if __name__ == "__main__":
    raise SystemExit(serve(None, None, "python -m dbmigrate"))
