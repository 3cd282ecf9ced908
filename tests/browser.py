"""A real browser, and what it meets on a page: errors, and requests that leave the machine."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LOCAL = ("file:", "blob:", "data:")
PATIENCE = 120_000
"""Milliseconds in which the browser starts, or what is waited for comes to be on a page."""
expect.set_options(timeout=PATIENCE)


@dataclass
class Visit:
    """A page that is open in a browser.

    Attributes:
        page: to act on.
        faults: errors and warnings of its scripts.
        requests: addresses asked for that are not on this machine.
    """

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium; skip where there is none, unless AVSC_REQUIRE_BROWSER is 1."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("AVSC_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium on the PATH")
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS, timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@contextmanager
def visit(chromium: Browser, path: Path, **context: Any) -> Iterator[Visit]:
    """Open a file in a new window, and wait for its table of clips."""
    window = chromium.new_context(**context)
    window.set_default_timeout(PATIENCE)
    page = window.new_page()
    found = Visit(page)
    page.on("console", lambda said: found.faults.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda fault: found.faults.append(str(fault)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(LOCAL) else found.requests.append(asked.url),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("#clip-table tbody tr")
    yield found
    window.close()
