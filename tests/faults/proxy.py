"""A proxy that drops a connection at a message, or freezes it: before the server gets it, or behind that."""

from __future__ import annotations

import re
import select
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Generator

When = Literal["before", "after"]


@dataclass
class Drop:
    """Which message of all clients together the connection does not survive, and on which side of it."""

    word: str
    #: 1: the first message with that word in it, as a word of its own.
    number: int
    when: When
    seen: int = 0
    #: It has happened.
    is_done: bool = False
    #: Nobody gets through any more behind it.
    is_last: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def falls_on(self, message: bytes) -> bool:
        """Count a message; tell whether it is the one."""
        with self.lock:
            has_word = re.search(rf"\b{self.word}\b".encode(), message) is not None
            self.seen += has_word
            falls = has_word and self.seen == self.number
            self.is_done = self.is_done or falls
            return falls

    def is_over(self, done: threading.Event) -> bool:  # noqa: ARG002
        """Tell whether the connection goes on behind it."""
        return False


@dataclass
class Freeze(Drop):
    """The same, but the connection stays open and carries nothing, either way, until it is thawed."""

    thawed: threading.Event = field(default_factory=threading.Event)
    is_cut: bool = False

    def thaw(self, *, cut: bool = False) -> None:
        """Carry on, with what came meanwhile; or `cut` the connection after all."""
        self.is_cut = cut
        self.thawed.set()

    def is_over(self, done: threading.Event) -> bool:
        """Wait for that."""
        while not (done.is_set() or self.thawed.wait(0.02)):
            pass
        return self.thawed.is_set() and not self.is_cut


@contextmanager
def proxy(port: int, drop: Drop) -> Generator[int]:
    """Stand between clients and a server on 127.0.0.1; gives the port to connect to."""
    done, threads = threading.Event(), list[threading.Thread]()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while not done.is_set():
                if select.select([listener], [], [], 0.02)[0]:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=_serve, args=(client, port, drop, done)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def _serve(client: socket.socket, port: int, drop: Drop, done: threading.Event) -> None:
    """Carry what the two say to the other side, until one of them goes or the connection is dropped."""
    if drop.is_done and drop.is_last:
        client.close()
        return
    with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(ConnectionError):
        other = {client: server, server: client}
        while not done.is_set():
            for side in select.select([client, server], [], [], 0.02)[0]:
                message = side.recv(65536)
                if not message:
                    return
                falls = side is client and drop.falls_on(message)
                if falls and drop.when == "before" and not drop.is_over(done):
                    return
                other[side].sendall(message)
                if falls and drop.when == "after" and not drop.is_over(done):
                    server.recv(65536)  # the answer, which nobody gets
                    return
