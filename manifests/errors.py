"""Errors that a user can fix, and the exit statuses of both programs.

Anything wrong with what a user gave (a recording, a list, a store, a setting) is raised as an
`AvscError` whose text names the thing, what was found, what was wanted and what to do. The programs
print it as one line; any other exception that reaches the shell is a bug.

Exit statuses: 0 done; 1 bad data, store or environment; 2 wrong use; 3 done, with failures listed;
5 verification failed; 75 stopped, resumable, state saved; 130 interrupted; 143 terminated.
"""

DONE, BAD_DATA, USAGE, DONE_WITH_FAILURES, VERIFICATION_FAILED = 0, 1, 2, 3, 5
STOPPED, INTERRUPTED, TERMINATED = 75, 130, 143

MAX_MESSAGE = 2_000
"""Characters of a message that are printed or stored."""


def bounded(text: str) -> str:
    """Return a message cut to its beginning, which names the thing, and its end, the remedy.

    >>> len(bounded("v.mp4: " + 5000 * "x" + "; leave it out."))
    2000
    """
    half = MAX_MESSAGE // 2 - 1
    return text if len(text) <= MAX_MESSAGE else f"{text[:half]} … {text[1 - half :]}"


class AvscError(Exception):
    """A fault with a message for the user; it ends a program with exit status 1."""

    exit_code = 1


class ManifestError(AvscError):
    """A data set's lists or folders are not what they should be."""


class MediaError(AvscError):
    """A recording cannot give what was asked of it.

    `code` is a short, stable, machine-readable reason such as ``"missing"`` or ``"truncated"``;
    it is what the store's ``failures.csv`` keeps beside the message.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["MediaError"], tuple[str, str]]:
        """Pickle both arguments, so that the error survives the way back from a worker."""
        return type(self), (self.code, str(self))


class StoreError(AvscError):
    """A store is incomplete, damaged, or of another version."""


class DamagedError(StoreError):
    """A file of a store is not what was written; it can be written again."""


class SettingError(AvscError):
    """A setting cannot be used as given; exit status 2, as for any wrong use of a command."""

    exit_code = 2
