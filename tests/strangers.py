"""Those who are not let in: where a run listens, and whether it answers them."""

import contextlib
import socket
import ssl
from pathlib import Path

import psutil
from distributed.security import Security


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Return the addresses at which a process and its children wait for others."""
    opened = []
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that has just ended
            opened += each.net_connections("inet")
    return [
        (found.laddr.ip, found.laddr.port) for found in opened if found.status == psutil.CONN_LISTEN
    ]


def is_answered(
    address: tuple[str, int], folder: Path, shown: Security | None = None, seconds: float = 120
) -> bool:
    """Tell whether a listener says anything, by TLS, to who shows these credentials or none.

    Dask's speaks first, once it has let somebody in. Its HTTP server, which is there also without a
    dashboard, speaks no TLS and waits for more.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown is not None:
        file = folder / "shown.pem"
        file.write_text(f"{shown.tls_client_key}{shown.tls_client_cert}")
        context.load_cert_chain(file)
    with (
        contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError),
        contextlib.ExitStack() as opened,
    ):
        plain = opened.enter_context(socket.create_connection(address, timeout=seconds))
        return bool(opened.enter_context(context.wrap_socket(plain)).recv(1))
    return False
