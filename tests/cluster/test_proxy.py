"""The proxy passes on, and misbehaves as it is told."""

import contextlib
import socket
import threading

import pytest

from cluster.proxy import Loop, Proxy


@pytest.fixture
def proxy():
    """A proxy in front of something that says everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(connection):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    loop = Loop()
    yield Proxy(loop, listener.getsockname()[1])
    listener.close()
    loop.close()


def connect(proxy):
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=0.5)
    connection.settimeout(0.5)
    return connection


def says_back(connection, text=b"hello"):
    connection.sendall(text)
    return connection.recv(100) == text


def test_it_passes_on(proxy):
    with connect(proxy) as connection:
        assert says_back(connection) and says_back(connection, b"again")


def test_connections_that_are_cut_are_reset_and_new_ones_welcome(proxy):
    with connect(proxy) as connection:
        assert says_back(connection)
        proxy.cut()
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""
    with connect(proxy) as connection:
        assert says_back(connection)


def test_what_is_stalled_is_passed_on_when_it_is_mended(proxy):
    with connect(proxy) as connection:
        assert says_back(connection)
        proxy.stall()
        connection.sendall(b"wait")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        with connect(proxy) as other:
            other.sendall(b"me too")
            with pytest.raises(TimeoutError):
                other.recv(100)
            proxy.heal()
            assert connection.recv(100) == b"wait" and other.recv(100) == b"me too"


def test_what_refuses_resets_refuses_and_listens_at_the_same_port_afterwards(proxy):
    with connect(proxy) as connection:
        assert says_back(connection)
        proxy.refuse()
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as connection:
        assert says_back(connection)
