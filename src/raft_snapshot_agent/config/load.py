"""Finds the configuration, reads it in its dialect, and fills in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft_snapshot_agent.config.dialects import Dialect, dialect
from raft_snapshot_agent.config.dialects.seed import translate
from raft_snapshot_agent.config.document import Document, dotted, parse
from raft_snapshot_agent.config.faults import validate
from raft_snapshot_agent.config.marks import KeyPath
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.secret import redact

VARIABLE = "RAFT_SNAPSHOT_AGENT_CONFIG"
PLACES = (
    Path("raft-snapshot-agent.yaml"),
    Path("/etc/raft-snapshot-agent/config.yaml"),
    Path("/etc/vault.d/snapshot.json"),
)
_VERIFIED = (
    "TLS certificates are verified, which the original agent did not do;"
    " VAULT_SKIP_VERIFY=true goes back"
)
_ENOUGH = ("BAO_ADDR", "VAULT_ADDR", "BAO_TOKEN", "VAULT_TOKEN")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, where it came from, and what an operator should know of it."""

    config: Config
    path: Path | None = None
    """None: from the environment alone."""
    dialect: Dialect = "agent"
    notes: tuple[str, ...] = ()
    document: Document | None = field(default=None, repr=False, compare=False)
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict, repr=False, compare=False)

    def place(self, path: KeyPath) -> str:
        """Say where a key of ours stands: `FILE:LINE:COLUMN: key`, the key as the file has it."""
        if self.document is None:
            return dotted(path)
        return self.document.place(self.origins.get(path, path))


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Load the configuration from the path given, else from where it usually lies.

    What the file leaves out comes from `BAO_*` and `VAULT_*`.

    Raises:
        ConfigError: There is none, or it is wrong; the message names the place.
    """
    given = path or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    found = (given, _text(given)) if given else _search()
    if found is None:
        return _from_environment(environ)
    file, text = found
    document = parse(str(file), file.suffix.lower(), text)
    if dialect(document) == "seed":
        translated = translate(document, environ)
        config = _completed(translated.config, environ)
        notes = (*translated.notes, *_seed_notes(config), *_general(config, file, environ))
        return Loaded(config, file, "seed", notes, translated.document, translated.origins)
    config = _completed(validate(Config, document.value, document), environ)
    return Loaded(config, file, "agent", _general(config, file, environ), document)


def _search() -> tuple[Path, str] | None:
    for place in PLACES:
        if _exists(place):
            return place, _text(place)
    return None


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except PermissionError:
        return False  # in a folder that is closed to this user: nothing meant for them


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: {error.strerror}",
            hint="check the path, and that the agent's user may read it",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: byte {error.start + 1} is not UTF-8",
            hint="save it as UTF-8",
        ) from None


def _from_environment(environ: Mapping[str, str]) -> Loaded:
    if any(environ.get(name) for name in _ENOUGH):
        config = _completed(Config(), environ)
        return Loaded(config, notes=_namespace_notes(config))
    places = ", ".join(str(place) for place in PLACES)
    raise ConfigError(
        f"no configuration: ${VARIABLE} is not set, and there is no file to read among {places}",
        hint="give one with --config, or set BAO_ADDR or VAULT_ADDR to go without",
    )


def _completed(config: Config, environ: Mapping[str, str]) -> Config:
    return config.model_copy(update={"vault": config.vault.with_environment(environ)})


def _general(config: Config, file: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    return (*_overruled(config, file, environ), *_namespace_notes(config))


def _namespace_notes(config: Config) -> tuple[str, ...]:
    if config.vault.namespace in (None, "", "root", "/"):
        return ()
    what = "a token made in a namespace cannot take snapshots, which are the root namespace's"
    return (f"vault.namespace is {config.vault.namespace}: {what}",)


def _overruled(config: Config, file: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    for name in ("BAO_ADDR", "VAULT_ADDR"):
        address = environ.get(name, "").rstrip("/")
        if address and address not in config.vault.addresses:
            return (f"{name} is {redact(address)}, but the address in {file} is used",)
    return ()


def _seed_notes(config: Config) -> list[str]:
    encrypted = any(address.startswith("https://") for address in config.vault.addresses)
    if not encrypted or config.vault.tls.skip_verify:
        return []
    return [_VERIFIED]
