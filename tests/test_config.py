"""Where the settings of the command line come from, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from dbmigrate import Ahead, ConfigurationError, FilesystemSource, Missing, PackageSource, TableLedger
from dbmigrate.cli import config, protection
from tests.terminal import Program

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = """
database = "sqlite:///from_file.db"
source = "db"
ledger = "our_ledger"
allow = ["Ahead", "Missing"]
acquire_timeout = 5

[profiles.dev]
ledger = "dev_ledger"

[profiles.production]
database = "sqlite:///${NAME}.db"
transaction = "all"
protected = true
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in a project, with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(options: dict[str, Any], environment: dict[str, str]) -> dict[str, tuple[Any, str]]:
    """Return value and origin of each setting, as `config` shows them."""
    rows = config.read(options, environment).shown()
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


@pytest.mark.parametrize("name", ["dbmigrate.toml", "pyproject.toml"])
def test_a_file(name: str, here: Path) -> None:
    """Its settings become those of the Migrator, and what it does not say is as the API has it."""
    inside = "[tool.dbmigrate]\n" + _FILE.replace("[profiles.", "[tool.dbmigrate.profiles.")
    (here / name).write_text(_FILE if name == "dbmigrate.toml" else inside)

    settings = config.read({}, {})
    migrator = settings.migrator()

    assert migrator.url.database == "from_file.db"
    assert migrator.source == FilesystemSource("db")
    assert migrator.ledger == TableLedger("our_ledger")
    assert migrator.allow == {Ahead, Missing}
    assert (migrator.acquire_timeout, migrator.lock_timeout, migrator.transaction) == (5, None, "each")
    assert settings.warnings == ()
    assert shown({}, {})["ledger"] == ("our_ledger", name)
    assert shown({}, {})["lock_timeout"] == ("default", "default")


def test_precedence(here: Path) -> None:
    """Options, then the profile, then DATABASE_URL, then the file, then what the API has."""
    (here / "dbmigrate.toml").write_text(_FILE)
    around = {"DATABASE_URL": "sqlite:///around.db", "NAME": "shop"}
    asked = {"profile": "production"}

    assert shown({}, {})["database"] == ("sqlite:///from_file.db", "dbmigrate.toml")
    assert shown({}, around)["database"] == ("sqlite:///around.db", "DATABASE_URL")
    place = "dbmigrate.toml [profiles.production]"
    assert shown(asked, around)["database"] == ("sqlite:///shop.db", place)
    assert shown({}, {**around, "DBMIGRATE_PROFILE": "production"})["database"] == ("sqlite:///shop.db", place)
    assert shown({}, {**around, "DBMIGRATE_PROFILE": "production"})["transaction"] == ("all", place)
    assert shown({"profile": "dev"}, {**around, "DBMIGRATE_PROFILE": "production"})["ledger"][0] == "dev_ledger"
    assert shown({"profile": "dev"}, around)["database"] == ("sqlite:///around.db", "DATABASE_URL")
    assert shown({**asked, "database": "sqlite:///x.db"}, around)["database"] == ("sqlite:///x.db", "--database")
    assert shown({}, {"DATABASE_URL": ""})["database"] == ("sqlite:///from_file.db", "dbmigrate.toml")


def test_the_nearest_file_upwards(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths count from its own folder; a pyproject.toml that says nothing of dbmigrate is passed over."""
    (here / "dbmigrate.toml").write_text('database = "sqlite:///app.db"\ntemplate = "t"\n')
    below = here / "src" / "shop"
    below.mkdir(parents=True)
    (here / "src" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    monkeypatch.chdir(below)

    settings = config.read({}, {})

    assert settings.migrator().source == FilesystemSource("../../migrations")
    assert settings.path("template") == "../../t"
    assert settings.url.database == str(here / "app.db")
    assert config.read({"source": "mine", "database": "sqlite:///x.db"}, {}).migrator().source == FilesystemSource(
        "mine"
    )
    assert config.read({"database": "sqlite:///x.db"}, {}).url.database == "x.db"
    assert config.read({}, {"DATABASE_URL": "sqlite:///x.db"}).url.database == "x.db"


def test_a_file_with_a_byte_order_mark(here: Path) -> None:
    """Some editors write one."""
    (here / "dbmigrate.toml").write_text("source = 'db'\n", encoding="utf-8-sig")

    assert config.read({}, {})["source"] == "db"


def test_a_file_that_is_named(here: Path) -> None:
    """Wherever it is."""
    (here / "etc").mkdir()
    (here / "etc" / "shop.toml").write_text('source = "m"\n')
    (here / "dbmigrate.toml").write_text('source = "other"\n')

    assert config.read({"config": "etc/shop.toml"}, {}).source == FilesystemSource("etc/m")


def test_a_package(here: Path) -> None:
    """As a table with its name."""
    (here / "dbmigrate.toml").write_text('source = { package = "shop", path = "sql" }\n')
    assert config.read({}, {}).source == PackageSource("shop", "sql")
    (here / "dbmigrate.toml").write_text('source = { package = "shop" }\nschema = "ops"\n')
    settings = config.read({"database": "postgresql://h/d"}, {})
    assert settings.source == PackageSource("shop", "migrations")
    assert settings.migrator().ledger == TableLedger("dbmigrate_ledger", "ops")


def test_a_variable_is_wanted_only_where_it_is_used(here: Path) -> None:
    """To write a migration nobody needs a database; what is missing is named with its place."""
    (here / "dbmigrate.toml").write_text('database = "postgresql://${USER_NAME}:${SECRET}@h/d"\nsource = "${DIR}"\n')

    settings = config.read({}, {"DIR": "db", "SECRET": ""})

    assert settings.source == FilesystemSource("db")
    wanted = "dbmigrate.toml: database wants USER_NAME, SECRET, which is not set or empty in the environment"
    with pytest.raises(ConfigurationError, match=wanted):
        _ = settings.url
    assert {row["name"]: row["origin"] for row in settings.shown()}["database"] == wanted
    assert config.read({}, {"USER_NAME": "u", "SECRET": "p"}).url.password == "p"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("databse = 'x'", "dbmigrate.toml: there is no setting 'databse'; did you mean database?"),
        ("colour = 'x'", "dbmigrate.toml: there is no setting 'colour'"),
        (
            "[profiles.dev]\nsauce = 'x'",
            r"dbmigrate.toml \[profiles.dev\]: there is no setting 'sauce'; did you mean source",
        ),
        ("profiles = 1", "profiles are tables"),
        ("source = 1", "source is the path of a folder, or .*, not int"),
        ("source = { packge = 'x' }", "dbmigrate.toml: source is the path of a folder, or"),
        ("ledger = 1", "ledger is a text, not int"),
        ("allow = 'Ahead'", "allow is a list of the names of findings, not str"),
        ("allow = ['Anything']", "allow: 'Anything' is not one of Ahead, Edited, Missing, OutOfOrder"),
        ("acquire_timeout = true", "acquire_timeout is a number of seconds, not bool"),
        ("acquire_timeout = -1", "acquire_timeout is a number of seconds, not -1"),
        ("protected = 1", "protected is true or false, not int"),
        ("transaction = 'some'", "transaction is 'each' or 'all'"),
        ("layout = 'flyway'", "there is no layout 'flyway'"),
        ("database = ", "dbmigrate.toml: Invalid value"),
        ("database = 'sqlite:///${A'", r"dbmigrate.toml: database: \$\{ is to be followed by the name of a variable"),
        ("[profile.production]\ndatabase = 'x'", r"there is no setting 'profile'; did you mean profiles\?"),
        ("lock_timeout = nan", "dbmigrate.toml: lock_timeout is a number of seconds, not nan"),
        ("acquire_timeout = inf", "dbmigrate.toml: acquire_timeout is a number of seconds, not inf"),
        ("source = ''", "dbmigrate.toml: source is empty"),
        ("source = 'a\\u0000b'".replace("'", '"'), "dbmigrate.toml: source has something in it that is no text"),
        ("database = 'nonsense'", "dbmigrate.toml: database: the database URL cannot be read"),
        ("database = 'oracle://h/d'", "dbmigrate.toml: database: dbmigrate does not know"),
        ("x = " + "[" * 3000, "dbmigrate.toml: "),
        ("source = '${}'", r"dbmigrate.toml: source: \$\{ is to be followed by the name of a variable"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, here: Path) -> None:
    """With its place, and with what was meant."""
    (here / "dbmigrate.toml").write_text(text + "\n")

    with pytest.raises(ConfigurationError, match=said):
        _ = config.read({} if "database" in text else {"database": "sqlite:///x.db"}, {}).migrator().source.load()


def test_a_profile_that_is_not_there(here: Path) -> None:
    """Is an error with the ones that are."""
    with pytest.raises(
        ConfigurationError, match=r"no profile 'production' for there is no dbmigrate\.toml; there is none"
    ):
        config.read({"profile": "production"}, {})
    (here / "dbmigrate.toml").write_text(_FILE)
    with pytest.raises(
        ConfigurationError, match=r"'prodution' in dbmigrate\.toml; did you mean production.; there are: dev"
    ):
        config.read({}, {"DBMIGRATE_PROFILE": "prodution"})


def test_files_that_cannot_be_used(here: Path) -> None:
    """Two in one folder, one that is not there, one without our table."""
    (here / "pyproject.toml").write_text("[tool.dbmigrate]\n")
    (here / "dbmigrate.toml").write_text("")
    with pytest.raises(ConfigurationError, match=r"there are settings in .*dbmigrate.toml and in .*pyproject.toml"):
        config.read({}, {})
    with pytest.raises(ConfigurationError, match=r"missing\.toml: cannot be read"):
        config.read({"config": "missing.toml"}, {})
    for text in ("tool = 'dbmigrate'", "[tool]\ndbmigrate = 1"):
        (here / "pyproject.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=r"pyproject.toml: .*\[tool.dbmigrate\]"):
            config.read({"config": "pyproject.toml"}, {})
    (here / "pyproject.toml").write_text("[tool.other]\n")
    with pytest.raises(ConfigurationError, match=r"pyproject.toml: there is no \[tool.dbmigrate\] in it"):
        config.read({"config": "pyproject.toml"}, {})


def test_a_password_in_the_file_is_warned_of(here: Path) -> None:
    """Also beside a variable; not in the environment, where it belongs."""
    path = here / "dbmigrate.toml"
    path.write_text('database = "postgresql://u:hunter2@h/d"\n')
    assert config.read({}, {}).warnings == (
        "dbmigrate.toml: there is a password in it: write ${NAME}, and set that where it runs",
    )
    path.write_text('database = "postgresql://u:x${REST}@h/d"\n')
    assert len(config.read({}, {}).warnings) == 1
    path.write_text('database = "postgresql://u@h/d?sslpassword=hunter2"\n')
    assert len(config.read({}, {}).warnings) == 1
    for text in (
        "postgresql://u@h/d?password=${PW}",
        "postgresql://u:${PW}@h/d",
        "postgresql://u@h/d",
        "sqlite:///a:b@c.db",
        "postgresql://h/d?x=a:b@c",
    ):
        path.write_text(f'database = "{text}"\n')
        assert config.read({}, {}).warnings == (), text
    assert config.read({}, {"DATABASE_URL": "postgresql://u:hunter2@h/d"}).warnings == ()


def test_a_password_in_any_profile_is_warned_of(here: Path) -> None:
    """Not only in the one that is chosen; the path of a file with passwords is none."""
    (here / "dbmigrate.toml").write_text(
        'database = "postgresql://u@h/d?passfile=/etc/pass"\n'
        '[profiles.a]\ndatabase = "postgresql://u:hunter2@h/d"\n'
        '[profiles.b]\ndatabase = "postgresql://u:${PW}@h/d"\n'
    )

    for options in ({}, {"profile": "b"}):
        (warning,) = config.read(options, {"PW": "x"}).warnings
        assert warning.startswith("dbmigrate.toml [profiles.a]: there is a password in it")


@pytest.mark.parametrize("name", ["source", "database", "profile", "config", "env_file", "ledger"])
def test_an_empty_option_is_an_error(here: Path, name: str) -> None:
    """It is a variable that was not set, most likely."""
    with pytest.raises(ConfigurationError, match=f"--{name.replace('_', '-')} is empty"):
        config.read({name: ""}, {})


# -- through a process


@pytest.fixture
def shop(here: Path) -> Program:
    """A project with a file and a migration."""
    (here / "dbmigrate.toml").write_text(_FILE)
    (here / "db").mkdir()
    (here / "db" / "1_a.sql").write_text("CREATE TABLE a (x TEXT);")
    return Program(here)


def test_config_tells_no_secret(shop: Program) -> None:
    """Where each value comes from, and the password of none."""
    url = "postgresql://ana:s3ntinel@h/d?sslpassword=s3ntinel&application_name=shop"
    for done in (shop("config", DATABASE_URL=url), shop("config", "--json", DATABASE_URL=url)):
        assert done.returncode == 0
        assert "s3ntinel" not in done.stdout + done.stderr
        assert "postgresql://ana:***@h/d?" in done.stdout
    assert "DATABASE_URL" in shop("config", DATABASE_URL=url).stdout


def test_a_warning_goes_to_stderr(shop: Program) -> None:
    """So that --json stays one object."""
    (shop.folder / "dbmigrate.toml").write_text('database = "mysql+pymysql://u:hunter2@localhost:1/d"\nsource = "db"\n')

    done = shop("config", "--json")

    assert done.returncode == 0
    assert (
        done.stderr == "warning: dbmigrate.toml: there is a password in it: write ${NAME}, and set that where it runs\n"
    )
    assert done.stdout.startswith("{")


def test_a_protected_database_is_not_dropped(shop: Program) -> None:
    """Nor reset, whatever else is said, and by whatever way it is reached; another database may be."""
    production = {"DBMIGRATE_PROFILE": "production", "NAME": "shop"}
    assert shop("upgrade", **production).returncode == 0

    for action in ("drop", "reset"):
        done = shop("database", action, "--yes", "--force", **production)
        assert (done.returncode, "is protected by dbmigrate.toml [profiles.production]" in done.stderr) == (2, True)
    assert (shop.folder / "shop.db").exists()
    for url in ("sqlite:///shop.db", f"sqlite:///{shop.folder}/shop.db", "sqlite:///./db/../shop.db"):
        done = shop("database", "drop", "--yes", "--database", url, NAME="shop")
        assert (done.returncode, "is protected by dbmigrate.toml [profiles.production]" in done.stderr) == (2, True)
    assert (shop.folder / "shop.db").exists()
    assert shop("database", "drop", "--yes", "--database", "sqlite:///other.db", NAME="shop").returncode == 0


@pytest.mark.parametrize(
    ("url", "is_protected"),
    [
        ("postgresql://me:other@db/shop", True),
        ("postgresql+psycopg2://db:5432/shop", True),
        ("postgresql://db:5433/shop", False),
        ("postgresql://db2/shop", False),
        ("postgresql://db/shop2", False),
        ("mysql+pymysql://db/shop", False),
    ],
)
def test_the_same_database(here: Path, url: str, is_protected: bool) -> None:
    """By host, port and name, also where the variable with the password is not set; who asks makes no difference."""
    (here / "dbmigrate.toml").write_text(
        "[profiles.production]\nprotected = true\n"
        'database = "postgresql+psycopg://shop:${SHOP_PASSWORD}@db:5432/shop"\n'
    )

    found = config.read({"database": url}, {})

    assert (found.protector(found.url) is not None) == is_protected


_SAME: Final = [
    # host: the same, however it is written
    ("postgresql://DB.example.org./shop", "postgresql://db.example.org/shop", True),
    ("postgresql://localhost/shop", "postgresql://127.0.0.1/shop", True),
    ("postgresql://[::1]/shop", "postgresql:///shop", True),
    ("postgresql:///shop?host=/var/run/postgresql", "postgresql://LocalHost:5432/shop", True),
    ("postgresql://127.1/shop", "postgresql://%2Ftmp/shop", True),
    ("mysql+pymysql:///shop?unix_socket=/tmp/x", "mariadb://localhost/shop", True),
    ("postgresql://db/shop", "postgresql://db.example.org/shop", True),
    ("postgresql://db/shop", "postgresql://10.0.0.7/shop", True),  # nobody can tell without asking
    ("postgresql://localhost/shop", "postgresql://10.0.0.7/shop", False),
    ("postgresql://localhost/shop", "postgresql://db/shop", False),
    ("postgresql://10.0.0.8/shop", "postgresql://10.0.0.7/shop", False),
    ("postgresql://a.example.org/shop", "postgresql://b.example.org/shop", False),
    # behind the ?
    ("postgresql:///shop?host=db", "postgresql://db/shop", True),
    ("postgresql://x/shop?hostaddr=10.0.0.7", "postgresql://10.0.0.7/shop", True),
    ("postgresql:///shop?host=db:5433", "postgresql://db:5433/shop", True),
    ("postgresql:///shop?host=db:5433", "postgresql://db:5432/shop", False),
    ("postgresql://db/shop?port=5433", "postgresql://db:5432/shop", False),
    ("postgresql:///shop?host=a:1&host=b:2", "postgresql://b:2/shop", True),
    ("postgresql:///shop?host=a,b", "postgresql://c/shop", False),
    ("postgresql://db/?dbname=shop", "postgresql://db/shop", True),
    ("postgresql://db/?dbname=other", "postgresql://db/shop", False),
    ("postgresql:///shop?service=prod", "postgresql://db/shop", True),
    ("postgresql://db", "postgresql://db/shop", True),
    # ports and kinds
    ("postgresql://db:5432/shop", "postgresql://db/shop", True),
    ("postgresql://db:5432/shop", "postgresql://db:5433/shop", False),
    ("postgres://db/shop", "postgresql+psycopg://db/shop", True),
    ("mysql://db/shop", "mariadb+pymysql://db/SHOP", True),
    ("mysql://db/shop", "postgresql://db/shop", False),
    # what is not set, or cannot be read
    ("postgresql://${HOST}/shop", "postgresql://db:1/shop", True),
    ("postgresql://${HOST}/shop", "postgresql://db/other", False),
    ("postgresql://${HOST}/shop", "mysql://db/shop", False),
    ("postgresql://db:${PORT}/shop", "postgresql://db:5433/shop", True),
    ("postgresql://db:${PORT}/shop", "postgresql://db2:5433/shop", False),
    ("postgresql://db/shop_${STAGE}", "postgresql://db/shop_live", True),
    ("postgresql://db/shop_${STAGE}", "postgresql://db/other", False),
    ("${BASE}/shop", "postgresql://db/shop", True),
    ("${BASE}/shop", "postgresql://db/other", False),
    ("${URL}", "sqlite:///dev.db", True),
    ("${KIND}://db/shop", "postgresql://db/shop", True),
    ("postgresql://u:p@ss@db/shop", "postgresql://db/shop", True),
    ("postgresql://u:p@ss@db/shop", "postgresql://db/other", False),
    ("postgresql://u:p@ss@db/shop", "mysql://db/shop", False),
    ("postgresql://db:port/shop", "postgresql://db/shop", True),
    ("postgersql://db/shop", "postgresql://db/shop", True),
    ("nonsense", "sqlite:///dev.db", True),
    # files
    ("sqlite:///shop.db", "sqlite:///./x/../shop.db", True),
    ("sqlite:///shop.db", "sqlite:///file:shop.db?uri=true", True),
    ("sqlite:///file:shop.db?mode=ro&uri=true", "sqlite:///shop.db", True),
    ("sqlite:///shop.db", "sqlite:///other.db", False),
    ("sqlite:///${NAME}.db", "sqlite:///shop.db", True),
    ("sqlite:///${DIR}/shop.db", "sqlite:////srv/shop.db", True),
    ("sqlite:///${DIR}/shop.db", "sqlite:////srv/dev.db", False),
    ("${BASE}/shop.db", "sqlite:////srv/shop.db", True),
    ("${BASE}/shop.db", "sqlite:////srv/dev.db", False),
    ("sqlite://", "sqlite:///shop.db", False),
]


@pytest.mark.parametrize(("one", "other", "is_same"), _SAME)
def test_what_may_be_the_same_database(one: str, other: str, is_same: bool) -> None:
    """Whatever cannot be told apart may be; the order makes no difference."""
    urls = [protection.lenient(text, {}) for text in (one, other)]

    assert protection.may_be_same(*urls) == is_same
    assert protection.may_be_same(*reversed(urls)) == is_same


@pytest.mark.parametrize(
    ("text", "around", "options", "place"),
    [
        # its own database, or every one that it may get
        ("[profiles.live]\nprotected = true\ndatabase = 'postgresql://db/shop'", {}, {}, "[profiles.live]"),
        ("database = 'postgresql://db/shop'\n[profiles.live]\nprotected = true", {}, {}, "[profiles.live]"),
        ("[profiles.live]\nprotected = true", {"DATABASE_URL": "postgresql://db/shop"}, {}, "[profiles.live]"),
        # that of the file, also where another profile is chosen that would not be protected
        (
            "protected = true\ndatabase = 'postgresql://db/shop'\n[profiles.dev]\nprotected = false\n"
            "database = 'sqlite:///dev.db'",
            {},
            {"profile": "dev"},
            "dbmigrate.toml",
        ),
        (
            "protected = true\n[profiles.live]\ndatabase = 'postgresql://db/shop'",
            {},
            {"profile": None},
            "dbmigrate.toml",
        ),
        ("[profiles.live]\nprotected = true\ndatabase = '${LIVE}'", {}, {}, "without LIVE"),
        ("[profiles.live]\nprotected = true\ndatabase = 'postgresql://${H}/shop'", {}, {}, "without H"),
        ("[profiles.live]\nprotected = true\ndatabase = '${LIVE}'", {"LIVE": "postgresql://db/x"}, {}, None),
        ("[profiles.live]\nprotected = false\ndatabase = 'postgresql://db/shop'", {}, {}, None),
        ("protected = true\n[profiles.dev]\nprotected = false", {}, {"profile": "dev"}, None),
    ],
)
def test_what_is_protected(
    here: Path, text: str, around: dict[str, str], options: dict[str, Any], place: str | None
) -> None:
    """The place that says so is named, and so is what would have to be set to be sure."""
    (here / "dbmigrate.toml").write_text(text)

    found = config.read({**options, "database": "postgresql://db/shop"}, around)
    protector = found.protector(found.url)

    assert (protector is None) == (place is None)
    assert place is None or place in str(protector)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_settings_file_is_not_passed_over(here: Path, kind: str) -> None:
    """One that cannot be read may protect something."""
    path = here / "dbmigrate.toml"
    if kind == "link":
        path.symlink_to("nowhere.toml")
    else:
        path.mkdir()

    with pytest.raises(ConfigurationError, match=r"dbmigrate\.toml: cannot be read"):
        config.read({}, {})


def test_a_file_of_variables_that_cannot_be_read(shop: Program) -> None:
    """It says which, without a traceback."""
    (shop.folder / "prod.env").write_bytes(b"NAME=\xff\n")

    done = shop("config", "--env-file", "prod.env")

    assert (done.returncode, "prod.env: cannot be read" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_file_of_variables(shop: Program) -> None:
    """Read with python-dotenv; what the environment has counts more; without the package an error says so."""
    (shop.folder / "prod.env").write_text("NAME=from_env_file\n")
    words = ("config", "--profile", "production", "--env-file", "prod.env")

    def database(program: Program, **variables: str) -> str:
        rows = replace(program, variables=variables).json(*words)["result"]["settings"]
        return str(next(row["value"] for row in rows if row["name"] == "database"))

    assert database(shop) == "sqlite:///from_env_file.db"
    assert database(shop, NAME="mine") == "sqlite:///mine.db"
    assert "there is no file prod.emv" in shop("config", "--env-file", "prod.emv").stderr
    hidden = "import sys; sys.modules['dotenv'] = None; from dbmigrate.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", hidden, *words], cwd=shop.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "--env-file needs the package python-dotenv" in done.stderr) == (2, True)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_validate_needs_no_database(dialect: str, shop: Program) -> None:
    """Only its kind: everything that is wrong with any file, also with a way back."""
    (shop.folder / "db" / "2_b.up.sql").write_text("CREATE TABLE b (x TEXT);")
    (shop.folder / "db" / "2_b.down.sql").write_text("DROP TABLE b; COMMIT;")
    (shop.folder / "db" / "3_c.py").write_text("def upgrade(")
    words = ("validate", "--dialect", dialect)

    done = shop(*words, "--profile", "production")
    assert done.returncode == 1
    assert "db/2_b.down.sql:1: " in done.stderr
    assert "db/3_c.py" in done.stderr
    (shop.folder / "db" / "2_b.down.sql").write_text("DROP TABLE b;")
    (shop.folder / "db" / "3_c.py").unlink()
    assert shop(*words).stdout == "2 migrations, nothing wrong with their files\n"
    assert len(shop.json(*words)["result"]["migrations"]) == 2
    (shop.folder / "dbmigrate.toml").write_text('source = "db"\n')
    assert "Say --dialect NAME" in shop("validate").stderr
    assert "does not know" in shop("validate", "--dialect", "oracle").stderr
    assert shop("validate", "--database", f"{dialect}:///x").returncode == 0


def test_validate_wants_the_kind_of_a_database_only(shop: Program) -> None:
    """So it works where the variables of a profile are not set; what is no name of a dialect is refused."""
    (shop.folder / "dbmigrate.toml").write_text(
        'source = "db"\n[profiles.live]\ndatabase = "postgresql+psycopg://u:${PW}@${HOST}:${PORT}/d"\n'
        '[profiles.whole]\ndatabase = "${URL}"\n'
    )

    assert shop("validate", "--profile", "live").returncode == 0
    done = shop("validate", "--profile", "whole")
    assert (done.returncode, "[profiles.whole]: database wants URL" in done.stderr) == (2, True)
    for name in ("sqlite:///x.db?", "postgresql+psycopg", "Sqlite", "a b", "sqlite\n", "://"):
        done = shop("validate", "--dialect", name)
        assert (done.returncode, "--dialect: a dialect is one word" in done.stderr) == (2, True), name
        assert "Traceback" not in done.stderr
