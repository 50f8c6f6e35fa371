"""`metrics`: where runs of one snapshot leave what a daemon would be scraped for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.network.clear_text import refuse_plain_http
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.objectstore.connection import server_url


def _collected(path: Path) -> Path:
    if not path.is_absolute() or path.suffix != ".prom":
        raise ValueError(
            "must be an absolute path that ends in .prom, because node_exporter reads no other,"
            " such as /var/lib/prometheus/node-exporter/raft-snapshots.prom"
        )
    return path


def _label(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of text, such as the name of the host or the job")
    return text


class MetricsSettings(Settings):
    """What `run --once` and `save` do with their metrics; a daemon is scraped."""

    textfile: Annotated[Path, AfterValidator(_collected)] | None = None
    """A file for node_exporter's textfile collector."""
    pushgateway: Annotated[str, AfterValidator(server_url)] | None = None
    """URL of a Pushgateway."""
    instance: Annotated[str, AfterValidator(_label)] | None = None
    """The label at the Pushgateway; by default the name of the host."""
    username: str | None = None
    """For the Pushgateway; needs `password`."""
    password: Secret | None = None
    ca_file: Path | None = None
    """Certificates to trust beside the system's, in PEM."""
    allow_http: bool | None = None
    """Whether the password may go without TLS; true on loopback."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.textfile is None and self.pushgateway is None:
            raise ValueError("give textfile or pushgateway, or both")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password must be given together")
        if self.pushgateway is None and self.username is not None:
            raise ValueError("username and password are for a pushgateway, and none is given")
        if self.pushgateway is not None and self.password is not None:
            refuse_plain_http(self.pushgateway, self.allow_http)
        return self
