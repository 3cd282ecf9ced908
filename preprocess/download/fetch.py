"""Fetching one file over HTTP, resumable.

Received data is kept in ``FILE.part``; the rest is requested by a range (RFC 9110, section 14), on
condition that the server's file is still the one that the part began with (``If-Range`` with its
entity tag, kept in ``FILE.etag``). A server that ignores ranges, or whose file has changed, sends
the file from its beginning. Transient errors (no connection, a truncated body, statuses 408, 425,
429 and 5xx) are retried after a growing delay, or after the one that the server asks for; attempts
are counted since the last new byte. Status 403 is retried a few times: mirrors and rate limiters
also answer so to clients that they serve later.

requests takes proxies, certificates and credentials from the environment, as clusters set them, and
urllib3 under it detects bodies shorter than their headers say.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avsc.manifests.errors import AvscError, ManifestError, SettingError
from avsc.manifests.tau2021 import Archive

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 18
PASSING, FORBIDDEN = (408, 425, 429), 403
FORBIDDEN_ATTEMPTS = 4  # in a row; usually it is final
LONGEST_ASKED = 900.0  # seconds; a server that asks for more is asked again after this
REPACKED = (
    "Either the record was repacked since this version of avsc (its page then names this size or "
    "MD5: fetch and unpack its archives by hand in the data set's folder, or use a newer avsc), or "
    "something on the way changes the file: name another server with --url."
)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class RetryPolicy:
    """When to retry after a transient error, and when to give up.

    Attributes:
        attempts: how many in a row may bring no new data.
        delay: seconds before the next attempt; doubled after each one without new data.
        longest: seconds, upper limit of the delay.
        timeout: seconds without an answer or a byte before a connection is given up.
    """

    attempts: int = 10
    delay: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0


class ArchiveError(ManifestError):
    """One archive cannot be fetched intact; others may."""


class Stopped(BaseException):
    """The user asked to stop."""


class _AttemptError(Exception):
    """A failed attempt that may be retried, after `wait` seconds if the server said so.

    After `attempts` of them in a row it is given up, if that is fewer than the policy allows.
    """

    def __init__(self, reason: str, wait: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.wait, self.attempts = wait, attempts


class _OtherSizeError(_AttemptError):
    """The server's file has another size than the archive."""


@dataclass(frozen=True)
class Listener:
    """Callbacks of a transfer (bytes received, a message for the user); `stop` is set to end it."""

    at: Callable[[int], None]
    say: Callable[[str], None]
    stop: threading.Event


def fetch(url: str, archive: Archive, folder: Path, listener: Listener, retry: RetryPolicy) -> Path:
    """Fetch an archive into a folder, unless it is there, and return its path.

    Raises:
        ArchiveError: the server has no such file, or one of another size or digest.
        AvscError: no server could be reached, or the file not be written.
        Stopped: the listener stopped it; received data is kept.
    """
    path, part = folder / archive.file, folder / f"{archive.file}.part"
    if path.is_file():
        path.replace(part)  # checked below like any part
    for last in (False, True):
        _complete(url, archive, part, listener, retry)
        found = md5_file(part, listener.stop)
        if found == archive.md5:
            _tag_file(part).unlink(missing_ok=True)
            return part.replace(path)
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        listener.at(0)
        if not last:
            listener.say(f"{archive.name}: MD5 {found}, wanted {archive.md5}; fetching it again.")
    raise ArchiveError(f"{url}: MD5 {found}, wanted {archive.md5}, twice. {REPACKED}")


def md5_file(path: Path, stop: threading.Event) -> str:
    """Return the MD5 of a file, 32 hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            if stop.is_set():
                raise Stopped
            digest.update(data)
    return digest.hexdigest()


def _complete(
    url: str, archive: Archive, part: Path, listener: Listener, retry: RetryPolicy
) -> None:
    """Resume a part until it has the archive's size."""
    import requests
    import urllib3
    from requests import exceptions

    faults = (_AttemptError, exceptions.RequestException, urllib3.exceptions.HTTPError)
    most, tried = -1, 0
    with requests.Session() as session:
        while (there := _length(part)) != archive.size:
            if there > most:
                most, tried = there, 0
            try:
                get = partial(session.get, url, stream=True, timeout=retry.timeout)
                _attempt(get, archive.size, part, listener)
            except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema):
                raise SettingError(f"--url: {url!r} is not a usable address.") from None
            except faults as fault:
                if _length(part) <= most:
                    tried += 1
                asked, most_tries = None, retry.attempts
                if isinstance(fault, _AttemptError):
                    asked, most_tries = fault.wait, min(fault.attempts or most_tries, most_tries)
                if tried >= most_tries:
                    raise _given_up(url, fault, tried) from fault
                wait = min(retry.delay * 2**tried / 2, retry.longest)
                wait = wait if asked is None else min(asked, LONGEST_ASKED)
                listener.say(f"{archive.name}: {_reason(fault)}; retrying in {wait:.1f} s.")
                if listener.stop.wait(wait):
                    raise Stopped from None


def _attempt(
    get: "Callable[..., requests.Response]", size: int, part: Path, listener: Listener
) -> None:
    """Request the missing bytes once, and write what arrives."""
    there, tag = _length(part), _tag(part)
    headers = {"Accept-Encoding": "identity"}
    if there > size:
        part.unlink()
        there = 0
    if there:
        headers["Range"] = f"bytes={there}-"
        if tag:
            headers["If-Range"] = tag
    with get(headers=headers) as answer:
        begin = _begin(answer, there, size, part)
        if begin == 0:
            _keep_tag(part, answer.headers.get("ETag", ""))
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(begin)
            file.seek(begin)
            for position, data in _body(answer, begin, size):
                file.write(data)
                file.flush()  # kept whatever kills this process
                listener.at(position)
                if listener.stop.is_set():
                    raise Stopped


def _body(answer: "requests.Response", begin: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (position after it, data) for each piece of a body, never beyond the file's end."""
    position = begin
    while data := answer.raw.read1(
        CHUNK, decode_content=False
    ):  # also the last before a disconnect
        if position + len(data) > size:
            raise _AttemptError(f"more than the {size} bytes that the file has")
        position += len(data)
        yield position, data
    if position < size:
        raise _AttemptError(f"the body ended at byte {position} of {size}")


def _begin(answer: "requests.Response", there: int, size: int, part: Path) -> int:
    """Return the position in the file at which the answer's body begins."""
    status, headers = answer.status_code, answer.headers
    if status in (*PASSING, FORBIDDEN) or status >= 500:
        attempts = FORBIDDEN_ATTEMPTS if status == FORBIDDEN else None
        raise _AttemptError(f"status {status} ({answer.reason})", _retry_after(headers), attempts)
    if status == 416:
        part.unlink(missing_ok=True)
        raise _AttemptError("the server's file is shorter than the part; starting over")
    if status not in (200, 206):
        raise ArchiveError(f"{answer.url}: status {status} ({answer.reason}). Look at --url.")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _AttemptError(f"encoded as {headers['Content-Encoding']}, which was not requested")
    if status == 200:
        begin, length = 0, headers.get("Content-Length", str(size))
    else:
        sent = headers.get("Content-Range", "nothing")
        match = CONTENT_RANGE.fullmatch(sent)
        if match is None or int(match[1]) != there:
            raise _AttemptError(f"requested bytes from {there} on, the server sends {sent}")
        begin, length = there, str(size) if match[2] == "*" else match[2]
    if length != str(size):
        raise _OtherSizeError(f"the server says the file has {length} bytes; wanted {size}")
    tag = _tag(part)
    if status == 206 and tag and headers.get("ETag", tag) != tag:
        part.unlink(missing_ok=True)
        raise _AttemptError("the server's file changed; starting over")
    return begin


def _retry_after(headers: "requests.structures.CaseInsensitiveDict[str]") -> float | None:
    """Return the delay that a server asks for, seconds."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    try:
        said = headers.get("Retry-After")
        return None if said is None else Retry().parse_retry_after(said)
    except InvalidHeader:
        return None


def _tag_file(part: Path) -> Path:
    return part.with_suffix(".etag")


def _tag(part: Path) -> str:
    """Return the entity tag of the file that a part began with, or an empty text."""
    try:
        return _tag_file(part).read_text(encoding="latin-1")
    except OSError:
        return ""


def _keep_tag(part: Path, tag: str) -> None:
    """Keep an entity tag, unless it is weak: equal weak tags do not promise equal bytes."""
    if tag.startswith('"'):
        _tag_file(part).write_text(tag, encoding="latin-1")
    else:
        _tag_file(part).unlink(missing_ok=True)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(fault: Exception) -> str:
    """Return what went wrong; the library's own texts name objects and addresses."""
    from requests import exceptions
    from urllib3.exceptions import HTTPError, TimeoutError

    if isinstance(fault, _AttemptError):
        return str(fault)
    kinds: dict[type[Exception], str] = {
        exceptions.ProxyError: "the proxy could not be reached, or refused",
        exceptions.SSLError: "the server's certificate was not accepted",
        exceptions.Timeout: "no answer in time",
        TimeoutError: "no more data in time",
        HTTPError: "the connection was lost",
        exceptions.ConnectionError: "no connection, or it was lost",
    }
    return next((text for kind, text in kinds.items() if isinstance(fault, kind)), str(fault))


def _given_up(url: str, fault: Exception, tried: int) -> AvscError:
    """Return the error after the last attempt; an answer from the server concerns the archive."""
    if isinstance(fault, _OtherSizeError):
        return ArchiveError(f"{url}: {fault}, {tried} times in a row. {REPACKED}")
    kind = ArchiveError if isinstance(fault, _AttemptError) else AvscError
    return kind(
        f"{url}: {_reason(fault)}, {tried} times in a row. Received data is kept; run the "
        "command again to resume, on a machine that reaches the server (HTTPS_PROXY names a proxy)."
    )
