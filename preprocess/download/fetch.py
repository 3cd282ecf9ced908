"""One file over HTTP, whole or to be gone on with.

What has arrived is kept in ``FILE.part`` and the rest is asked for by a range (RFC 9110, section
14), under the condition that the file on the server is still the one that the part began with
(``If-Range`` with its entity tag, kept in ``FILE.etag``). A server that ignores ranges gives the
file from its beginning, and so does one whose file has changed. Faults that pass (no connection, a
body that breaks off, statuses 408, 425, 429 and 5xx) are tried again after a growing delay, or
after the one that the server asks for; attempts are counted since the last byte that was new. So is
status 403, a few times: mirrors and limiters of rates answer so, too, to whom they serve later.

requests does the talking: of the kept libraries it is the one that takes proxies, exceptions to
them, certificates and credentials from the environment as clusters set them, and urllib3 under it
finds bodies shorter than their headers say.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avsc.manifests.errors import AvscError, ManifestError, SettingError
from avsc.manifests.tau2021 import Archive

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 18
PASSING = (408, 425, 429)
FORBIDDEN = 403
FORBIDDEN_ATTEMPTS = 4  # in a row; more often than not it is meant
LONGEST_ASKED = 900.0  # seconds; a server that asks for more is asked again after this
REPACKED = (
    "Either the record was packed anew since this version of avsc (its page then names this size "
    "or MD5: fetch its archives and unpack them by hand in the data set's folder, or take a newer "
    "avsc), or something on the way changes the file: name another server with --url."
)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class RetryPolicy:
    """How long a fault that may pass is put up with.

    Attributes:
        attempts: how many in a row may bring nothing new.
        delay: seconds before another attempt after one that brought nothing new; doubled for each
            further one.
        longest: seconds that the delay grows to.
        timeout: seconds without an answer or a byte, after which a connection is given up.
    """

    attempts: int = 10
    delay: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0


class ArchiveError(ManifestError):
    """One archive cannot be had as it should be; others may."""


class Stopped(BaseException):
    """The user asked to stop."""


class _AttemptError(Exception):
    """An attempt that failed and may be made again, after `wait` seconds if the server said so.

    After `attempts` of them in a row it is given up, where that is fewer than retries allows.
    """

    def __init__(self, reason: str, wait: float | None = None, attempts: int | None = None) -> None:
        super().__init__(reason)
        self.wait, self.attempts = wait, attempts


class _OtherSizeError(_AttemptError):
    """The server's file has another size than the archive."""


@dataclass(frozen=True)
class Listener:
    """Who hears how a transfer goes on, and who ends it.

    Attributes:
        at: called with the number of bytes that are there.
        say: called with a line that the user should read.
        stop: set when the transfer should end.
    """

    at: Callable[[int], None]
    say: Callable[[str], None]
    stop: threading.Event


def fetch(
    url: str, archive: Archive, folder: Path, listener: Listener, retries: RetryPolicy
) -> Path:
    """Bring an archive into a folder and return its path; nothing is asked of one that is there.

    Raises:
        ArchiveError: the server has no such file, or one of another size or digest.
        AvscError: no server could be reached, or the file not be written.
        Stopped: the listener stopped it; what has arrived is kept.
    """
    path, part = folder / archive.file, folder / f"{archive.file}.part"
    if path.is_file():
        path.replace(part)  # whole or not is found below, as for any part
    for last in (False, True):
        _complete(url, archive, part, listener, retries)
        found = md5_file(part, listener.stop)
        if found == archive.md5:
            _tag_file(part).unlink(missing_ok=True)
            return part.replace(path)
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        listener.at(0)
        if not last:
            listener.say(f"{archive.name}: MD5 {found}, wanted {archive.md5}; fetched once more.")
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
    url: str, archive: Archive, part: Path, listener: Listener, retries: RetryPolicy
) -> None:
    """Go on with a part until it has the archive's size."""
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
                _attempt(session, url, archive.size, part, listener, retries.timeout)
            except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema):
                raise SettingError(f"--url: {url!r} is no address that can be asked.") from None
            except faults as fault:
                if _length(part) <= most:
                    tried += 1
                asked, most_tries = None, retries.attempts
                if isinstance(fault, _AttemptError):
                    asked, most_tries = fault.wait, min(fault.attempts or most_tries, most_tries)
                if tried >= most_tries:
                    raise _given_up(url, fault, tried) from fault
                wait = min(retries.delay * 2**tried / 2, retries.longest)
                wait = wait if asked is None else min(asked, LONGEST_ASKED)
                listener.say(f"{archive.name}: {_reason(fault)}; going on in {wait:.1f} s.")
                if listener.stop.wait(wait):
                    raise Stopped from None


def _attempt(
    session: "requests.Session",
    url: str,
    size: int,
    part: Path,
    listener: Listener,
    timeout: float,
) -> None:
    """Ask once for what is missing, and write down what comes."""
    there, tag = _length(part), _tag(part)
    headers = {"Accept-Encoding": "identity"}
    if there > size:
        part.unlink()
        there = 0
    if there:
        headers["Range"] = f"bytes={there}-"
        if tag:
            headers["If-Range"] = tag
    with session.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        begin = _begin(answer, there, size, part)
        if begin == 0:
            _keep_tag(part, answer.headers.get("ETag", ""))
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(begin)
            file.seek(begin)
            for position, data in _body(answer, begin, size):
                file.write(data)
                file.flush()  # what came is kept, whatever kills this process
                listener.at(position)
                if listener.stop.is_set():
                    raise Stopped


def _body(answer: "requests.Response", begin: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (bytes there after it, data) for each piece of a body, never beyond the file's end."""
    position = begin
    while data := answer.raw.read1(CHUNK, decode_content=False):  # also the last before a break
        if position + len(data) > size:
            raise _AttemptError(f"more than the {size} bytes that the file has")
        position += len(data)
        yield position, data
    if position < size:
        raise _AttemptError(f"the body ended at byte {position} of {size}")


def _begin(answer: "requests.Response", there: int, size: int, part: Path) -> int:
    """Return the position in the file at which the answer's body begins."""
    status, headers = answer.status_code, answer.headers
    if status in PASSING or status >= 500:
        raise _AttemptError(f"status {status} ({answer.reason})", _retry_after(headers))
    if status == FORBIDDEN:
        reason = f"status {status} ({answer.reason})"
        raise _AttemptError(reason, _retry_after(headers), FORBIDDEN_ATTEMPTS)
    if status == 416:
        part.unlink(missing_ok=True)
        raise _AttemptError("the server's file ends before what is here of it; begun anew")
    if status not in (200, 206):
        raise ArchiveError(f"{answer.url}: status {status} ({answer.reason}). Look at --url.")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _AttemptError(f"encoded as {headers['Content-Encoding']}, which was not asked for")
    if status == 200:
        _check_size(headers.get("Content-Length", str(size)), size)
        return 0
    found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or int(found[1]) != there:
        said = headers.get("Content-Range", "nothing")
        raise _AttemptError(f"asked for the bytes from {there} on, the server gives {said}")
    _check_size(str(size) if found[2] == "*" else found[2], size)
    tag = _tag(part)
    if tag and headers.get("ETag", tag) != tag:
        part.unlink(missing_ok=True)
        raise _AttemptError("the server's file changed; begun anew")
    return there


def _check_size(said: str, size: int) -> None:
    if said != str(size):
        raise _OtherSizeError(f"the server says that the file has {said} bytes; wanted {size}")


def _retry_after(headers: "requests.structures.CaseInsensitiveDict[str]") -> float | None:
    """Return the seconds that a server asks to be left alone for."""
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
    """Return the entity tag of the file that a part began with, or nothing."""
    try:
        return _tag_file(part).read_text(encoding="latin-1")
    except OSError:
        return ""


def _keep_tag(part: Path, tag: str) -> None:
    """Keep an entity tag, unless it is weak: equal ones do not promise equal bytes."""
    if tag.startswith('"'):
        _tag_file(part).write_text(tag, encoding="latin-1")
    else:
        _tag_file(part).unlink(missing_ok=True)


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _reason(fault: Exception) -> str:
    """Return what went wrong, in words; the library's own texts name objects and addresses."""
    from requests import exceptions
    from urllib3.exceptions import HTTPError, TimeoutError

    if isinstance(fault, _AttemptError):
        return str(fault)
    kinds: dict[type[Exception], str] = {
        exceptions.ProxyError: "the proxy could not be reached, or refused",
        exceptions.SSLError: "the server's certificate was not accepted",
        exceptions.Timeout: "no answer in time",
        TimeoutError: "nothing more came in time",
        HTTPError: "the connection broke off",
        exceptions.ConnectionError: "no connection, or it broke off",
    }
    return next((text for kind, text in kinds.items() if isinstance(fault, kind)), str(fault))


def _given_up(url: str, fault: Exception, tried: int) -> AvscError:
    """Return the error after the last attempt; one that the server answered is the archive's."""
    if isinstance(fault, _OtherSizeError):
        return ArchiveError(f"{url}: {fault}, {tried} times in a row. {REPACKED}")
    kind = ArchiveError if isinstance(fault, _AttemptError) else AvscError
    return kind(
        f"{url}: {_reason(fault)}, {tried} times in a row. What has arrived is kept; run the "
        "command again to go on, on a machine that reaches the server (HTTPS_PROXY names a proxy)."
    )
