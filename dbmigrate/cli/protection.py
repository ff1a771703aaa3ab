"""Whether two URLs may lead to the same database, told by their words alone.

Law of this file: what cannot be told may be so. A refusal too many is a nuisance; with one too few a
database is gone.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import unquote

from sqlalchemy.engine import URL

from dbmigrate.arguments import read_database
from dbmigrate.dialects import dialect_for
from dbmigrate.errors import ConfigurationError

#: Stands for what is not known, and may stand for a number in a URL.
_UNKNOWN = "9182736450"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_POSTGRES = re.compile(r"^postgres(?=[+:])")
_HERE = "localhost"
_HOSTS = ("host", "hostaddr", "unix_socket", "unix_sock")
_NAMES = ("dbname", "database", "db")
#: What names host and port somewhere else.
_ELSEWHERE = ("service", "servicefile", "read_default_file", "read_default_group", "option_files", "option_groups")


def lenient(text: str, environment: Mapping[str, str]) -> URL:
    """Return the URL in a text as far as it can be read: what is missing in it, or wrong, is marked as not known."""
    filled = _VARIABLE.sub(lambda found: environment.get(found[1]) or _UNKNOWN, text)
    try:
        url = read_database(_POSTGRES.sub("postgresql", filled))
    except ConfigurationError:
        url = None
    if isinstance(url, URL):
        return url
    kind, _, rest = filled.rpartition("://")
    _, slash, name = rest.partition("?")[0].rpartition("/")
    kind = _POSTGRES.sub("postgresql", f"{kind}:")[:-1] if re.fullmatch(r"[\w+]+", kind) else _UNKNOWN
    return URL.create(kind, host=_UNKNOWN, database=f"{_UNKNOWN}/{name}" if slash and name else _UNKNOWN)


def is_known(url: URL) -> bool:
    """Tell whether the kind of its database is known, and nothing of its path is missing at the front."""
    return _kind(url) is not None and not (url.database or "").startswith(_UNKNOWN)


def may_be_same(one: URL, other: URL) -> bool:
    """Tell whether two URLs may lead to the same database: by its kind, its name or file, its server."""
    kinds = {_kind(one), _kind(other)} - {None}
    if len(kinds) > 1 or not any(_is_like(a, b) for a in _names(one) for b in _names(other)):
        return False
    return any(
        _may_be_one_host(a, b) and (port == to or _UNKNOWN in port + to)
        for a, port in _servers(one)
        for b, to in _servers(other)
    )


def _kind(url: URL) -> type | None:
    try:
        return type(dialect_for(url))
    except ConfigurationError:  # misspelt, or not known
        return None


def _names(url: URL) -> set[str]:
    """Return the names that a URL gives a database, or its file."""
    said = {*_values(url, *_NAMES), url.database or ""} - {""}
    with suppress(ConfigurationError):  # it is of no kind that is known, or none that is dropped
        dialect = dialect_for(url)
        if dialect.vanishes(url):
            return set()
        if url.database:
            return said - {url.database} | {dialect.manage(url.difference_update_query(["mode"]))[0]}
    return said or {_UNKNOWN}


def _is_like(one: str, other: str) -> bool:
    """Compare names, whose capitals do not matter to some; of files with an unknown part only the last component."""
    if _UNKNOWN not in one + other:
        return one.casefold() == other.casefold()
    if _UNKNOWN not in one:
        one, other = other, one
    one, other = (name.rpartition("/")[2] for name in (one, other))
    pattern = ".*".join(map(re.escape, one.split(_UNKNOWN)))
    return _UNKNOWN in other or re.fullmatch(pattern, other, re.IGNORECASE | re.DOTALL) is not None


def _servers(url: URL) -> set[tuple[str, str]]:
    """Return each host and port that a URL may lead to."""
    hosts = [host for text in _values(url, *_HOSTS) for host in text.split(",")]
    hosts += [url.host or ""] if url.host or not hosts else []
    hosts += [_UNKNOWN] if _values(url, *_ELSEWHERE) else []
    ports = [port for text in _values(url, "port") for port in text.split(",")]
    ports += [str(url.port)] if url.port is not None or not ports else []
    found = set[tuple[str, str]]()
    for text in hosts:
        host, own = text.strip(), None
        if (apart := re.fullmatch(r"(\[.*\]|[^:/]*):([0-9]*)", host)) is not None:  # host:port, and not an IPv6 address
            host, own = apart[1], apart[2]
        found |= {(_host(host), port if port.isdigit() else _UNKNOWN) for port in ([own] if own else ports)}
    return found


def _values(url: URL, *keys: str) -> list[str]:
    values = [url.query[key] for key in keys if key in url.query]
    return [text for value in values for text in ([value] if isinstance(value, str) else value)]


def _host(text: str) -> str:
    """Return a host by the name that it is compared by."""
    host = unquote(text).strip("[]").rstrip(".").lower()
    if _UNKNOWN in host:
        return _UNKNOWN
    if not host or host[0] in "/@" or host == _HERE or host.endswith(f".{_HERE}"):
        return _HERE
    address = _address(host)
    if address is None:
        return host
    address = getattr(address, "ipv4_mapped", None) or address
    return _HERE if address.is_loopback or address.is_unspecified else str(address)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is; None: it is a name."""
    with suppress(ValueError):
        return ip_address(host)
    with suppress(OSError):  # 127.1 is one too
        return IPv4Address(socket.inet_aton(host))
    return None


def _may_be_one_host(one: str, other: str) -> bool:
    """Compare hosts; an address may be that of any name, and a short name that of a long one."""
    if one == other or _UNKNOWN in (one, other):
        return True
    if _HERE in (one, other):
        return False
    kinds = {_address(one) is None, _address(other) is None}
    short = one.partition(".")[0] == other.partition(".")[0] and ("." not in one or "." not in other)
    return len(kinds) > 1 or (short and kinds == {True})
