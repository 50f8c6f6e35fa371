"""Notifications when snapshots fail and recover: a file per notifier, and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from raft_snapshot_agent.registry import Registry

NOTIFIERS = Registry(
    "type",
    __name__,
    {
        "alertmanager": "alertmanager:AlertmanagerSettings",
        "apprise": "by_apprise:AppriseSettings",
        "exec": "command:ExecSettings",
        "healthchecks": "healthchecks:HealthchecksSettings",
        "webhook": "webhook:WebhookSettings",
    },
)
"""By the `type` in their settings; each is loaded when it is configured."""
if TYPE_CHECKING:  # each kind loads what all have in common
    from raft_snapshot_agent.notify.settings import NotifierSettings

    AnyNotifier = NotifierSettings
else:
    AnyNotifier = Annotated[Any, NOTIFIERS]
