"""Parts of the configuration that few files have; each is loaded when it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from raft_snapshot_agent.registry import Part

if TYPE_CHECKING:
    from raft_snapshot_agent.config.metrics import MetricsSettings
    from raft_snapshot_agent.config.web import WebSettings

    AnyMetrics = MetricsSettings
    AnyWeb = WebSettings
else:
    AnyMetrics = Annotated[Any, Part(__package__, "metrics:MetricsSettings")]
    AnyWeb = Annotated[Any, Part(__package__, "web:WebSettings")]
