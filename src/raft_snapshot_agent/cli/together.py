"""Refuse options that cannot be combined, so that none is silently ignored."""

from __future__ import annotations

from raft_snapshot_agent.errors import ConfigError


def only_one_of(**given: object) -> None:
    """Refuse arguments that exclude each other.

    Each is named as on the command line, with `_` for `-`; a name in capitals is a positional
    argument, any other an option.

    Raises:
        ConfigError: More than one of them is given.
    """
    words = [_option_name(name) for name, value in given.items() if value]
    if len(words) > 1:
        raise ConfigError(f"{' and '.join(words)} cannot be combined", hint="give one of them")


def needs(wanted: str, **given: object) -> None:
    """Refuse options that have no effect without `wanted`.

    Raises:
        ConfigError: One of them is given.
    """
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"{_option_name(name)} does nothing without {wanted}",
                hint=f"add {wanted}, or leave {_option_name(name)} out",
            )


def _option_name(name: str) -> str:
    return name if name.isupper() else f"--{name.replace('_', '-')}"
