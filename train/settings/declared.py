"""Settings declared once: each with its type, default, limits and help.

The command line's options, the names in a ``--config`` file, the ``AVSC_*`` variables and a run's
``settings.json`` all follow from the fields of a class of settings. A field's metadata holds its
``help`` and its limits (``choices``, ``least``, ``above``, ``most``), and ``absent``, the value
that a record from before the setting existed is taken to have; a class may add more.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from avsc.manifests.errors import SettingError


def setting(default: Any, help: str, **about: Any) -> Any:
    """Declare one setting; `about` is the rest of its metadata."""
    return field(default=default, metadata={"help": help, **about})


@dataclass(frozen=True, kw_only=True)
class CheckedSettings:
    """Settings declared by `setting`, checked against their limits when made."""

    def __post_init__(self) -> None:
        for each in fields(self):
            allowed = choices(type(self), each.name)
            _check(option(each.name), getattr(self, each.name), allowed, each.metadata)

    def record(self) -> dict[str, Any]:
        """Return every setting in JSON's types."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_record(cls, values: dict[str, Any]) -> Self:
        """Make settings from what `record` gave, also before some of them existed.

        Raises:
            SettingError: a name is unknown, or a value outside its limits.
        """
        known = {each.name: each for each in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise SettingError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}."
            )
        about = {name: each.metadata for name, each in known.items()}
        absent = {name: more["absent"] for name, more in about.items() if "absent" in more}
        made: dict[str, Any] = {
            name: Path(value) if plain_type(cls, name) is Path and value is not None else value
            for name, value in {**absent, **values}.items()
        }
        return cls(**made)


def option(name: str) -> str:
    """Return the option of a setting.

    >>> option("visual_weights")
    '--visual-weights'
    """
    return f"--{name.replace('_', '-')}"


def choices(settings: type[CheckedSettings], name: str) -> tuple[str, ...]:
    """Return the allowed values of a setting that is a choice; else none."""
    kind = get_type_hints(settings)[name]
    if get_origin(kind) is Literal:
        return get_args(kind)
    about = next(each.metadata for each in fields(settings) if each.name == name)
    return tuple(about.get("choices", ()))


def plain_type(settings: type[CheckedSettings], name: str) -> type:
    """Return the type of a setting when it is given: int, float, str or Path."""
    kind = get_type_hints(settings)[name]
    if get_origin(kind) is Literal:
        return str
    plain: type = next(each for each in (*get_args(kind), kind) if each is not NoneType)
    return plain


def _check(
    name: str, value: Any, choices: tuple[str, ...], about: Mapping[str, float | None]
) -> None:
    """Raise a `SettingError` unless `value` is within the limits."""
    if choices and value not in choices:
        raise SettingError(f"{name} is {value!r}; one of {', '.join(choices)}.")
    if value is None or isinstance(value, str | Path):
        return
    least, above, most = (about.get(limit) for limit in ("least", "above", "most"))
    # Written so that a NaN, which compares as false, is refused too.
    limits = {
        f"{least} or more": least is None or value >= least,
        f"above {above}": above is None or value > above,
        f"{most} or less": most is None or value <= most,
        "finite": value < float("inf"),
    }
    broken = [text for text, kept in limits.items() if not kept]
    if broken:
        raise SettingError(f"{name} is {value}; wanted {' and '.join(broken)}.")
