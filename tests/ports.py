"""Ports for programs that are told theirs before they listen."""

import random
import socket

OUR_OWN = range(12_000, 30_000)
"""Below those that a system gives to outgoing connections, one of which might be faster."""


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return ports of loopback that nobody uses."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(OUR_OWN, len(OUR_OWN)):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"no {count} ports are free")
