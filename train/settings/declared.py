"""Settings declared once: each with its type, default, limits and help.

The command line's options, the names in a ``--config`` file, the ``AVSC_*`` variables and a run's
``settings.json`` all follow from the fields of a class of settings. A field's metadata holds its
``help`` and its limits (``choices``, ``least``, ``above``, ``most``), and ``absent``, the value
that a record from before the setting existed is taken to have; a class may add more.

One setting may name a preset, which has values for others that are left at their defaults. It is
recorded, but no part of a run's identity: that has the values.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from avsc.manifests.errors import SettingError


def setting(default: Any, help: str, **about: Any) -> Any:
    """Declare one setting; `about` is the rest of its metadata."""
    return field(default=default, metadata={"help": help, **about})


@dataclass(frozen=True)
class Presets:
    """Rows of values of settings, each with a name.

    Attributes:
        chosen_by: the setting that names one; with another value it names none.
        rows: by name; each has values for the same settings.
    """

    chosen_by: str
    rows: Mapping[str, Mapping[str, Any]]

    def __str__(self) -> str:
        return "; ".join(
            f"{name}: " + " ".join(f"{option(each)} {value}" for each, value in row.items())
            for name, row in self.rows.items()
        )

    def row(self, settings: "CheckedSettings") -> Mapping[str, Any]:
        """Return the values of the preset that settings name."""
        return self.rows.get(getattr(settings, self.chosen_by), {})

    def unset(self, settings: "CheckedSettings") -> list[str]:
        """Return the settings that are left to a preset."""
        of_presets = {name for row in self.rows.values() for name in row}
        return [
            each.name
            for each in fields(settings)
            if each.name in of_presets and getattr(settings, each.name) == each.default
        ]

    def changed(self, before: "CheckedSettings", now: "CheckedSettings") -> list[str]:
        """Return the settings that differ because another preset was named."""
        rows = self.row(before), self.row(now)
        return [
            name
            for name in rows[0]
            if name in rows[1]
            and (getattr(before, name), getattr(now, name)) == (rows[0][name], rows[1][name])
            and rows[0][name] != rows[1][name]
        ]


@dataclass(frozen=True, kw_only=True)
class CheckedSettings:
    """Settings declared by `setting`; completed by the preset and checked when made."""

    presets: ClassVar[Presets | None] = None

    def __post_init__(self) -> None:
        if self.presets is not None:
            row = self.presets.row(self)
            for name in self.presets.unset(self):
                if name in row:
                    object.__setattr__(self, name, row[name])  # as a frozen dataclass's own does
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
