"""Downloading a data set: archives are fetched, verified and unpacked, several at a time.

Archives lie in ``ROOT/archives`` until they are unpacked. ``ROOT/archives/FILE.json`` marks an
archive as done: it is written last and lists the unpacked files. An archive is done when its mark
is there and each of those files has its size; a stopped download is resumed.
"""

import json
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avsc.manifests.errors import AvscError, ManifestError, SettingError
from avsc.manifests.files import make_folder, publish, remove_stale_files
from avsc.manifests.tau2021 import Archive, Release
from avsc.preprocess.download.fetch import Listener, RetryPolicy, Stopped, fetch
from avsc.preprocess.download.unpack import contents, unpack

FOLDER = "archives"
GROWTH = 1.2  # bytes unpacked for each of an archive; recordings of 24 bits shrink by a seventh
MARGIN = 1 << 28  # bytes of a disk that are left free
SECONDS_TO_END = 1.0  # for a thread to finish the file that it writes


@dataclass(frozen=True)
class Download:
    """What to download, and how.

    Attributes:
        root: the data set's folder.
        url: address of an archive, in which ``{file}`` stands for its file name.
        archives: those to fetch.
        keep_archives: keep each archive after unpacking it.
        parallel: how many to fetch at a time.
        retries: when to retry, and when to give up.
    """

    root: Path
    url: str
    archives: tuple[Archive, ...]
    keep_archives: bool = False
    parallel: int = 4
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def folder(self) -> Path:
        """Folder of the archives and their markers."""
        return self.root / FOLDER

    def missing(self) -> tuple[Archive, ...]:
        """Return the archives that are not done."""
        return tuple(archive for archive in self.archives if not self.is_done(archive))

    def is_done(self, archive: Archive) -> bool:
        """Return whether an archive was unpacked and all its files are still there."""
        marker = self._read_marker(archive)
        try:
            return bool(marker["md5"] == archive.md5) and all(
                (self.root / path).stat().st_size == size for path, size in marker["files"].items()
            )
        except (OSError, KeyError, TypeError, AttributeError):
            return False

    def tidy(self) -> None:
        """Remove what a killed run left: half-written files, and archives marked as done."""
        remove_stale_files(self.root)
        for archive in self.archives:
            if self._read_marker(archive).get("kept") is False:
                (self.folder / archive.file).unlink(missing_ok=True)

    def marker(self, archive: Archive) -> Path:
        """Return the file that marks an archive as done."""
        return self.folder / f"{archive.file}.json"

    def here(self, archive: Archive) -> int:
        """Return how many bytes of an archive have arrived."""
        names = (archive.file, f"{archive.file}.part")
        sizes = [(self.folder / name).stat().st_size for name in names if self._has(name)]
        return min(max(sizes, default=0), archive.size)

    def _read_marker(self, archive: Archive) -> dict[str, Any]:
        try:
            marker = json.loads(self.marker(archive).read_bytes())
        except (OSError, ValueError):
            return {}
        return marker if isinstance(marker, dict) else {}

    def _has(self, name: str) -> bool:
        return (self.folder / name).is_file()


def choose(release: Release, only: Sequence[str]) -> tuple[Archive, ...]:
    """Return the archives of the kinds or names given; all when none is.

    >>> from avsc.manifests.tau2021 import RELEASES
    >>> [a.name for a in choose(RELEASES["TAU2021"], ["meta", "audio.8"])]
    ['meta', 'audio.8']

    Raises:
        SettingError: a name is not known.
    """
    known = {name: None for a in release.archives for name in (a.kind, a.name)}
    for name in only:
        if name not in known:
            raise SettingError(f"--only: {name!r} is not known; known are {', '.join(known)}.")
    return tuple(a for a in release.archives if not only or {a.kind, a.name} & set(only))


def address(base: str | None, release: Release) -> str:
    """Return a release's address of archives, or that of a mirror: a folder, or with ``{file}``."""
    if base is None:
        return release.url
    return base if "{file}" in base else f"{base.rstrip('/')}/{{file}}"


def check_room(job: Download, missing: Sequence[Archive]) -> None:
    """Refuse to start what the disk has no room for.

    Raises:
        AvscError: names the free and the needed room.
    """
    sizes = sorted(archive.size for archive in missing)
    archives = sum(sizes) if job.keep_archives else sum(sizes[-job.parallel :])
    here = sum(job.here(archive) for archive in missing)
    _need(job.root, int(GROWTH * sum(sizes)) + max(archives - here, 0), "the archives to come")


def _need(root: Path, bytes_needed: int, what: str) -> None:
    free = shutil.disk_usage(root).free
    if free < bytes_needed + MARGIN:
        raise AvscError(
            f"{root}: {free / 1e9:.1f} GB free; {what} and their files need "
            f"{(bytes_needed + MARGIN) / 1e9:.1f} GB. Make room, name another folder with --root, "
            "or fetch fewer archives with --only."
        )


def download(
    job: Download, reach: Callable[[int], None], say: Callable[[str], None]
) -> tuple[Archive, ...]:
    """Fetch, verify and unpack what is missing.

    Args:
        reach: called with the bytes that have arrived, of all that were missing.
        say: called with a line that the user should read.

    Returns:
        The archives that were made.

    Raises:
        AvscError: at the first error that concerns all archives; at the end when some archives
            could not be fetched.
    """
    missing = job.missing()
    make_folder(job.folder)
    check_room(job, missing)
    crew = _Crew(job, missing)
    there = {archive.name: job.here(archive) for archive in missing}
    spoilt: list[str] = []
    try:
        crew.start()
        reach(sum(there.values()))
        left = len(missing)
        while left:
            name, news = crew.news.get()
            if isinstance(news, int):
                there[name] = news
                reach(sum(there.values()))
            elif isinstance(news, str):
                say(news)
            else:
                left -= 1
                if news is not None and not isinstance(news, ManifestError):
                    raise news
                spoilt += [name] if news else []
                say(f"{name}: {news or 'done'}")
    finally:
        crew.end()
    if spoilt:
        raise ManifestError(
            f"{len(spoilt)} of {len(missing)} archives could not be fetched: {', '.join(spoilt)}. "
            "The lines above say why. All others are there; run the command again for these."
        )
    return missing


class _Crew:
    """Threads that fetch archives and unpack them, one unpacking at a time.

    `news` gives (archive, bytes that are there | a line to say | how it ended: None when well).
    """

    def __init__(self, job: Download, archives: Sequence[Archive]) -> None:
        self.job = job
        self.news: queue.SimpleQueue[tuple[str, int | str | Exception | None]] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[Archive] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._unpacking = threading.Lock()
        for archive in sorted(archives, key=lambda archive: archive.size):
            self._waiting.put(archive)
        count = min(job.parallel, len(archives))
        # Daemons: one that waits for a silent server does not keep the program from ending.
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop, and give each thread time to finish its current write."""
        self._stop.set()
        limit = time.monotonic() + SECONDS_TO_END
        for thread in self._threads:
            thread.join(max(limit - time.monotonic(), 0))

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                archive = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._get(archive)
                self.news.put((archive.name, None))
            except Stopped:
                return
            except OSError as fault:
                text = f"{archive.file}: {fault.strerror or fault}. Make room or fix the "
                text += f"permissions in {self.job.root} and run the command again to resume."
                self.news.put((archive.name, AvscError(text)))
            except Exception as fault:  # whatever it is, the thread that waits must hear of it
                self.news.put((archive.name, fault))

    def _get(self, archive: Archive) -> None:
        job = self.job
        listener = Listener(
            at=lambda count: self.news.put((archive.name, count)),
            say=lambda line: self.news.put((archive.name, line)),
            stop=self._stop,
        )
        url = job.url.replace("{file}", archive.file)
        path = fetch(url, archive, job.folder, listener, job.retries)
        with self._unpacking:
            self._keep_on()
            _need(job.root, sum(contents(path).values()), archive.name)
            files = unpack(path, job.root, self._keep_on)
            marker = {**asdict(archive), "kept": job.keep_archives, "files": files}
            publish(job.marker(archive), json.dumps(marker, indent=0).encode())
            if not job.keep_archives:
                path.unlink()

    def _keep_on(self) -> None:
        if self._stop.is_set():
            raise Stopped
