"""The optional dependencies of avsc (``pip install '.[EXTRA]'``), and what of them is missing."""

import re


def not_installed(extra: str) -> list[str]:
    """Return the packages that avsc needs, by itself or for an extra, and that are not there."""
    from importlib import metadata  # takes a while; seldom needed

    absent = []
    for requirement in metadata.requires("avsc") or ():
        package, _, condition = requirement.partition(";")
        if condition and f'extra == "{extra}"' not in condition:
            continue
        name = re.split(r"[^\w.-]", package.strip())[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
    return absent


def installation(extra: str, absent: list[str]) -> str:
    """Say which packages are not installed, and how they come to be.

    >>> installation("fit", ["timm", "torch"]).partition(".")[0]
    "timm, torch are not installed here; needed by the extra 'fit'"
    """
    are = "is" if len(absent) == 1 else "are"
    return (
        f"{', '.join(absent)} {are} not installed here; needed by the extra {extra!r}. Run "
        f"`pip install '.[{extra}]'` in the source folder of avsc."
    )
