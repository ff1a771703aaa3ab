"""Throw-away PostgreSQL and MariaDB servers for tests and benchmarks.

A server is made from the installed binaries, lives in a temporary directory, listens on a Unix
socket and on a free TCP port of 127.0.0.1, and is gone afterwards: data, directory and all.
Nothing else on the machine is touched.

    with postgresql(durable=True) as server:
        engine = create_engine(server.url("postgres"))

The server is not our child but the child of a *watchdog*: this file, run as a script. The
watchdog makes the directory, starts the server, and then reads from a pipe whose other end only
we hold. It ends the server as a crash does, and starts it again, when it is told to. When the
pipe closes, it stops the server and removes the directory. A pipe closes when
its holder ends, however it ends, so an orderly stop, Ctrl-C and `kill -9` all take the same way.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import URL

Kind = Literal["postgresql", "mariadb"]

KINDS: Final[tuple[Kind, ...]] = ("postgresql", "mariadb")

#: The SQLAlchemy drivers for each kind of server; the first is the default.
DRIVERS: Final[Mapping[Kind, tuple[str, ...]]] = {
    "postgresql": ("psycopg", "psycopg2", "pg8000"),
    "mariadb": ("pymysql", "mysqldb", "mysqlconnector"),
}

#: What each of them is imported as, and the distribution that brings it.
_MODULES: Final[Mapping[str, tuple[str, str]]] = {
    "psycopg": ("psycopg", "psycopg"),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "pg8000": ("pg8000", "pg8000"),
    "pymysql": ("pymysql", "pymysql"),
    "mysqldb": ("MySQLdb", "mysqlclient"),
    "mysqlconnector": ("mysql.connector", "mysql-connector-python"),
}

# Drivers that would spend 20 ms a connection on preparing for TLS, which this server does not offer.
_WITHOUT_TLS: Final = ("pymysql", "mysqlconnector")

#: The user to connect as. It may do everything and has no password.
USER: Final = "dbmigrate"

#: Members of this role of PostgreSQL, which tests may create, are asked for their password over TCP.
WITH_PASSWORD: Final = "dbmigrate_with_password"

_PACKAGES: Final[Mapping[Kind, str]] = {"postgresql": "postgresql", "mariadb": "mariadb-server"}

#: The database's own client program, or the pooler between, by its names, and Debian's package that has it.
_CLIENTS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "sqlite": (("sqlite3",), "sqlite3"),
    "postgresql": (("psql",), "postgresql-client"),
    "mariadb": (("mariadb", "mysql"), "mariadb-client"),
    "pooler": (("pgbouncer",), "pgbouncer"),
}

# Dozens of processes may run at once for each of several test workers.
_CONNECTIONS: Final = 500

# Seconds. A start takes about one, but machines may be slow and busy.
_PATIENCE: Final = 120.0


class ServerUnavailableError(Exception):
    """There is no such server to be had here; the message says why."""


@dataclass(frozen=True)
class Server:
    """A running throw-away server. Used as a context manager, it is stopped at the end."""

    kind: Kind
    #: The temporary directory that holds everything of this server.
    directory: Path
    #: What the server itself calls its data directory.
    data_directory: Path
    #: PostgreSQL: the directory of the Unix socket. MariaDB: the socket.
    socket: Path
    #: The TCP port on 127.0.0.1.
    port: int
    #: The server's own process, the first one.
    pid: int
    _watchdog: subprocess.Popen[str] | None = field(default=None, repr=False, compare=False)

    def url(self, database: str, driver: str | None = None, *, tcp: bool = False) -> URL:
        """The SQLAlchemy URL of a database, by Unix socket unless `tcp` is asked for.

        `driver` is one of `DRIVERS`, or a full name such as "mariadb+pymysql".
        """
        # The watchdog runs this file too, and has no use for SQLAlchemy.
        from sqlalchemy import URL

        name = driver or DRIVERS[self.kind][0]
        if "+" not in name:
            name = f"{'postgresql' if self.kind == 'postgresql' else 'mysql'}+{name}"
        query = {"ssl_disabled": "true"} if name.endswith(_WITHOUT_TLS) else {}
        if tcp:
            host, port = "127.0.0.1", self.port
            return URL.create(name, USER, None, host, port, database, query)
        if name.endswith("+pg8000"):
            query |= {"unix_sock": f"{self.socket}/.s.PGSQL.{self.port}"}
            return URL.create(name, USER, database=database, query=query)
        if self.kind == "postgresql":
            query |= {"host": str(self.socket), "port": str(self.port)}
            return URL.create(name, USER, database=database, query=query)
        query |= {"unix_socket": str(self.socket)}
        # A host is wanted even where it is not used.
        return URL.create(name, USER, host="localhost", database=database, query=query)

    def stop(self) -> None:
        """Stop the server and remove its directory, if this process started it."""
        if self._watchdog is not None:
            _dismiss(self._watchdog)

    def crash(self) -> None:
        """End the server with no time to write anything. One that is `durable` loses nothing by it."""
        self._tell("crash")

    def start_again(self) -> None:
        """Start the server behind a crash, on the same data and port."""
        self._tell("start")

    def _tell(self, word: str) -> None:
        assert self._watchdog is not None, "only the process that started a server may crash it"
        assert self._watchdog.stdin is not None
        assert self._watchdog.stdout is not None
        self._watchdog.stdin.write(word)
        self._watchdog.stdin.flush()
        answer = json.loads(self._watchdog.stdout.readline())
        assert answer == {}, answer

    def address(self) -> dict[str, str | int]:
        """What another process needs to know to use this server, fit for JSON."""
        return {
            "kind": self.kind,
            "directory": str(self.directory),
            "data_directory": str(self.data_directory),
            "socket": str(self.socket),
            "port": self.port,
            "pid": self.pid,
        }

    @classmethod
    def at(cls, address: Mapping[str, Any]) -> Self:
        """The server of that address, started by another process, which also stops it."""
        return cls(
            kind=address["kind"],
            directory=Path(address["directory"]),
            data_directory=Path(address["data_directory"]),
            socket=Path(address["socket"]),
            port=address["port"],
            pid=address["pid"],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def distribution(driver: str) -> str:
    """The distribution that brings a driver."""
    return _MODULES[driver][1]


def missing(driver: str) -> str | None:
    """Why a driver cannot be had here, if it cannot."""
    try:
        importlib.import_module(_MODULES[driver][0])
    except ImportError as error:
        return f"{distribution(driver)} is not installed ({error})"
    return None


def postgresql(*, durable: bool = False) -> Server:
    """Start a PostgreSQL server. A `durable` one writes to disk as a real one does, for timing."""
    return _start_one("postgresql", durable=durable)


def mariadb(*, durable: bool = False) -> Server:
    """Start a MariaDB server. A `durable` one writes to disk as a real one does, for timing."""
    return _start_one("mariadb", durable=durable)


def start(kinds: Iterable[Kind], *, durable: bool = False) -> dict[Kind, Server | str]:
    """Start servers side by side. In the place of one that cannot be had stands the reason."""
    wanted = tuple(kinds)
    explanation = install_missing(wanted)
    result: dict[Kind, Server | str] = {}
    watchdogs: dict[Kind, subprocess.Popen[str]] = {}
    try:
        for kind in wanted:
            try:
                find_binaries(kind)
            except ServerUnavailableError as error:
                result[kind] = f"{error}{explanation}"
            else:
                watchdogs[kind] = _send_watchdog(kind, durable=durable)
        for kind, watchdog in watchdogs.items():
            result[kind] = _await_server(watchdog)
    except BaseException:
        for watchdog in watchdogs.values():
            _dismiss(watchdog)
        raise
    return result


def _start_one(kind: Kind, *, durable: bool) -> Server:
    server = start([kind], durable=durable)[kind]
    if isinstance(server, str):
        raise ServerUnavailableError(server)
    return server


# The process that asked for the server


def _send_watchdog(kind: Kind, *, durable: bool) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", __file__, kind, "durable" if durable else "fast", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Ctrl-C reaches the whole group of a terminal. The watchdog has to outlive us.
        start_new_session=True,
        cwd="/",
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},  # a suite may have set it for itself alone
    )


def _await_server(watchdog: subprocess.Popen[str]) -> Server | str:
    assert watchdog.stdout is not None
    line = watchdog.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "its watchdog ended without a word"}
    if "error" in answer:
        _dismiss(watchdog)
        return str(answer["error"])
    return replace(Server.at(answer), _watchdog=watchdog)


def _dismiss(watchdog: subprocess.Popen[str]) -> None:
    assert watchdog.stdin is not None
    assert watchdog.stdout is not None
    # Said, not only closed: a forked child of ours may still hold a copy of our end.
    with contextlib.suppress(OSError, ValueError):
        watchdog.stdin.write("stop")
        watchdog.stdin.flush()
    with contextlib.suppress(OSError):
        watchdog.stdin.close()
    watchdog.wait()
    watchdog.stdout.close()


# The watchdog


def _watch(kind: Kind, durability: str, asked_by: int) -> int:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    signal.signal(signal.SIGHUP, _exit_on_signal)
    asked = _Asked(asked_by)
    try:
        with _running(kind, durable=durability == "durable", asked=asked) as (server, life):
            _tell(server.address())
            while (word := asked.word(within=1.0)) != "stop":
                if word:
                    life.end() if word == "crash" else life.go_on()
                    _tell({})
    except Exception as error:  # noqa: BLE001
        # Whatever it is, the caller hears of it.
        _tell({"error": str(error) or repr(error)})
        return 1
    return 0


def _tell(answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody may be listening any more
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _exit_on_signal(*_: object) -> NoReturn:
    # A second signal must not interrupt the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(1)


class _Asked:
    """What the process that asked for the server says; if it is gone, that is to stop it."""

    def __init__(self, by: int) -> None:
        self._by = by

    def word(self, within: float) -> str:
        readable, _, _ = select.select([0], [], [], within)
        # A forked child of that process may hold the pipe open after its end.
        if os.getppid() != self._by:
            return "stop"
        return (os.read(0, 16).decode() or "stop") if readable else ""


class _Life:
    """The process of a server, and after a crash the next one."""

    def __init__(self, recipe: _Recipe, port: int, asked: _Asked) -> None:
        self._recipe, self._port, self._asked = recipe, port, asked
        self.process = recipe.launch(port)

    def end(self) -> None:
        _end(self.process, self._recipe.stop_signal)

    def is_ready(self) -> bool:
        return self._recipe.wait_until_ready(self.process, self._asked)

    def go_on(self) -> None:
        self.process = self._recipe.launch(self._port)
        if not self.is_ready():
            raise ServerUnavailableError(f"it did not start again:\n{self._recipe.log()[-2000:]}")


@contextlib.contextmanager
def _running(kind: Kind, *, durable: bool, asked: _Asked) -> Iterator[tuple[Server, _Life]]:
    owner = _unprivileged_user(kind)
    directory = _make_directory(kind, owner)
    try:
        recipe = _recipe(kind, directory, owner, durable=durable)
        recipe.initialise()
        # A free port can be taken by someone else before we use it.
        for attempt in range(3):
            port = _free_port()
            life = _Life(recipe, port, asked)
            try:
                if life.is_ready():
                    yield Server(kind, directory, recipe.data, recipe.socket, port, life.process.pid), life
                    return
            finally:
                life.end()
            if attempt == 2 or "ddress already in use" not in recipe.log():
                raise ServerUnavailableError(f"{kind} did not start:\n{recipe.log()[-2000:]}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _end(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    process.send_signal(stop_signal)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unprivileged_user(kind: Kind) -> pwd.struct_passwd | None:
    """Whom to run as when we are root: both servers refuse to, and should."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres" if kind == "postgresql" else "mysql", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerUnavailableError("as root a user such as nobody is needed to run the server")


def _make_directory(kind: Kind, owner: pwd.struct_passwd | None) -> Path:
    parent = Path(tempfile.gettempdir()).resolve()
    # The path of a Unix socket has about 100 characters, and its user must get there.
    reachable = all(ancestor.stat().st_mode & 0o001 for ancestor in (parent, *parent.parents))
    if len(str(parent)) > 50 or (owner and not reachable):
        # mkdtemp makes a directory of our own in it.
        parent = Path("/tmp")  # noqa: S108
    directory = Path(tempfile.mkdtemp(prefix=f"dbmigrate-{kind}-", dir=parent))
    directory.chmod(0o755)
    if owner:
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    return directory


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def _recipe(kind: Kind, directory: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> _Recipe:
    return (_PostgreSQL if kind == "postgresql" else _MariaDB)(directory, owner, durable=durable)


class _Recipe:
    """How to make and run one kind of server in a directory."""

    stop_signal: signal.Signals
    socket: Path

    def __init__(self, directory: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.durable = durable
        self._as_owner: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "cwd": directory,
            # Settings for clients and servers in our environment are not meant for this one.
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        }
        if owner:
            self._as_owner |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def initialise(self) -> None:
        raise NotImplementedError

    def command(self, port: int) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        self.log_file.unlink(missing_ok=True)
        with self.log_file.open("wb") as log:
            return subprocess.Popen[bytes](
                self.command(port),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._as_owner,
            )

    def wait_until_ready(self, process: subprocess.Popen[bytes], asked: _Asked) -> bool:
        """Whether the server came up. It did not if it ended, or if we are to stop."""
        deadline = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_ready():
                return True
            if asked.word(within=0.02):
                return False
        return False

    @property
    def log_file(self) -> Path:
        return self.directory / "log"

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _run(self, *command: str) -> None:
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            # Alone in its group as well: nobody else's Ctrl-C.
            start_new_session=True,
            **self._as_owner,
        )
        if result.returncode:
            raise ServerUnavailableError(
                f"{Path(command[0]).name} failed with {result.returncode}:\n{result.stdout[-2000:]}"
            )


class _PostgreSQL(_Recipe):
    # "Immediate": nobody wants the data, so there is nothing to write before the end.
    stop_signal = signal.SIGQUIT

    def __init__(self, directory: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> None:
        super().__init__(directory, owner, durable=durable)
        self.socket = directory
        self._binaries = find_binaries("postgresql")

    def initialise(self) -> None:
        initdb = [str(self._binaries["initdb"]), "--auth=trust", f"--username={USER}"]
        initdb += ["--no-sync", "--encoding=UTF8", f"--pgdata={self.data}"]
        try:
            self._run(*initdb, "--locale=C.UTF-8")
        except ServerUnavailableError:
            # Not every system has that locale. initdb cleans up after itself.
            self._run(*initdb, "--locale=C")
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"host all +{WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")

    def command(self, port: int) -> list[str]:
        settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": self.socket,
            "max_connections": _CONNECTIONS,
            # Dropping a schema locks everything in it.
            "max_locks_per_transaction": 128,
            "timezone": "UTC",
        }
        if not self.durable:
            settings |= {
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "wal_level": "minimal",
                "max_wal_senders": 0,
                "shared_buffers": "16MB",
                # Its locks would come and go at random.
                "autovacuum": "off",
            }
        command = [str(self._binaries["postgres"]), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def is_ready(self) -> bool:
        # The eighth line is where pg_ctl looks too.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


class _MariaDB(_Recipe):
    # It has no children and nobody wants the data, so there is no reason to wait.
    stop_signal = signal.SIGKILL

    def __init__(self, directory: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> None:
        super().__init__(directory, owner, durable=durable)
        self.socket = directory / "socket"
        self._binaries = find_binaries("mariadb")
        self._sizes = ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M"]
        # `loose` because these come and go between versions.
        self._careless = [
            "--innodb-flush-log-at-trx-commit=0",
            "--loose-innodb-doublewrite=0",
            "--loose-innodb-flush-method=nosync",
            "--loose-debug-no-sync=1",
        ]

    def initialise(self) -> None:
        self._run(
            str(self._binaries["mariadb-install-db"]),
            "--no-defaults",
            f"--datadir={self.data}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
            # Not to insist on a host name that resolves.
            "--force",
            "--performance-schema=0",
            *self._sizes,
            *self._careless,
        )
        # An address of "%" covers the Unix socket as well, so that the definer of a view
        # is the same one whichever way its creator came.
        (self.directory / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%';\nGRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        )

    def command(self, port: int) -> list[str]:
        return [
            str(self._binaries["mariadbd"]),
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
            # One that starts removes from it what it takes for its own from before a crash.
            f"--tmpdir={self.directory}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={self.directory / 'pid'}",
            f"--init-file={self.directory / 'init.sql'}",
            f"--max-connections={_CONNECTIONS}",
            "--skip-name-resolve",
            "--performance-schema=0",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--default-time-zone=+00:00",
            # Shows who holds which lock, which the checks after each test want to know.
            "--plugin-maturity=unknown",
            "--plugin-load-add=metadata_lock_info",
            *self._sizes,
            *([] if self.durable else self._careless),
        ]

    def is_ready(self) -> bool:
        # The greeting comes after the init file is done.
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket))
                return bool(client.recv(1))
        except OSError:
            return False


# What is installed


def find_binaries(kind: Kind) -> dict[str, Path]:
    """Where the programs of a server are.

    Raises:
        ServerUnavailableError: They are not installed.
    """
    if kind == "postgresql":
        folders = _postgresql_folders()
        wanted: dict[str, tuple[str, ...]] = {"initdb": ("initdb",), "postgres": ("postgres",)}
    else:
        folders = _folders("/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/share/mysql/scripts")
        wanted = {
            "mariadbd": ("mariadbd", "mysqld"),
            "mariadb-install-db": ("mariadb-install-db", "mysql_install_db"),
        }
    found: dict[str, Path] = {}
    for program, names in wanted.items():
        for candidate in (folder / name for name in names for folder in folders):
            if os.access(candidate, os.X_OK) and (program != "mariadbd" or _is_mariadb(candidate)):
                found[program] = candidate
                break
        else:
            raise ServerUnavailableError(f"{' or '.join(names)} is not installed")
    return found


def _postgresql_folders() -> list[Path]:
    """Folders that may hold PostgreSQL's programs; the newest of Debian's versions first."""
    folders = _folders("/usr/bin", "/usr/libexec")
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            folders.append(Path(answer.stdout.strip()))
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(versions, key=lambda folder: _number(folder.parent.name), reverse=True)
    # One installation must serve for both programs.
    return [folder for folder in folders if (folder / "initdb").exists()]


def _folders(*more: str) -> list[Path]:
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [Path(folder) for folder in (*path, *more) if folder]


def _number(version: str) -> float:
    match = re.match(r"\d+(\.\d+)?", version)
    return float(match[0]) if match else 0.0


def _is_mariadb(program: Path) -> bool:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return "MariaDB" in answer.stdout


def install_missing(kinds: Iterable[Kind]) -> str:
    """Install Debian's packages for servers that are missing, where we are allowed to.

    Returns what there is to say about servers that are still missing.
    """
    missing: list[Kind] = [kind for kind in kinds if not _is_installed(kind)]
    if "mariadb" in missing and Path("/var/lib/mysql/mysql").exists():
        # A data directory without a server is somebody's. The package would adopt it.
        missing.remove("mariadb")
    if not missing or os.geteuid() != 0 or not shutil.which("apt-get"):
        return ""
    if problem := _install([_PACKAGES[kind] for kind in missing]):
        return f", and apt-get could not install it: {problem}"
    return ""


def _install(packages: list[str]) -> str:
    """The last words of apt-get, if it failed."""
    with _no_service_starts():
        # The lists may be empty or old, and only a failure tells.
        if _apt_get("install", *packages):
            _apt_get("update")
            return _apt_get("install", *packages)
    return ""


def find_client(kind: str) -> Path | None:
    """The client program of a kind of database, "sqlite" included, or the "pooler"."""
    names = _CLIENTS[kind][0]
    # A server's own folder may hold its client, and nothing else of it be on the PATH.
    folders = _folders(*(map(str, _postgresql_folders()) if kind == "postgresql" else ("/usr/bin", "/usr/sbin")))
    for candidate in (folder / name for name in names for folder in folders):
        if os.access(candidate, os.X_OK) and (kind != "mariadb" or _is_mariadb(candidate)):
            return candidate
    return None


def install_missing_clients(kinds: Iterable[str]) -> None:
    """Install Debian's packages for clients that are missing, where we are allowed to."""
    missing = [_CLIENTS[kind][1] for kind in kinds if find_client(kind) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(missing)  # a client that is still missing is named by the tests that want it


def _is_installed(kind: Kind) -> bool:
    try:
        find_binaries(kind)
    except ServerUnavailableError:
        return False
    return True


def _apt_get(command: str, *packages: str) -> str:
    """The last words of apt-get, if it failed."""
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    if packages:
        # Never at the price of something that was here before.
        options += ["--no-install-recommends", "--no-remove"]
    result = subprocess.run(
        ["apt-get", *options, command, *packages],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return (result.stdout.strip() or "it failed")[-500:] if result.returncode else ""


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Have Debian's packages start no service: the programs are all we want.

    A file at this path that exits with 101 is how Debian asks for that.
    """
    policy = Path("/usr/sbin/policy-rc.d")
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield  # someone has decided already
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(_watch(cast("Kind", sys.argv[1]), sys.argv[2], int(sys.argv[3])))
