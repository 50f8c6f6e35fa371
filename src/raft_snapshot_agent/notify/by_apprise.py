"""All other services, by the library Apprise (extra `apprise`): chat, mail, pagers."""

from __future__ import annotations

import logging
from collections.abc import Collection
from math import inf
from typing import TYPE_CHECKING, Literal, Self

from raft_snapshot_agent.core.alarms.notices import Notice
from raft_snapshot_agent.errors import ConfigError, NotificationError
from raft_snapshot_agent.fields import require_extra
from raft_snapshot_agent.notify.message import is_test, lines, title
from raft_snapshot_agent.notify.settings import NotifierSettings
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.secret import Secret

if TYPE_CHECKING:
    import apprise

_SHOWN = 200


class AppriseSettings(NotifierSettings):
    """A service supported by Apprise, given by its Apprise URL."""

    type: Literal["apprise"]
    url: Secret
    """Such as `mailtos://...` or `slack://...`; see Apprise's documentation."""

    def open(self) -> AppriseChannel:
        return AppriseChannel(self)

    def check(self, clusters: Collection[str]) -> None:  # noqa: ARG002 - any will do
        open_service(self.url.resolve())


class AppriseChannel:
    """Sends through the Apprise library."""

    def __init__(self, settings: AppriseSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> str:
        import apprise

        service = open_service(self._settings.url.resolve())
        kind = apprise.NotifyType.SUCCESS if notice.is_over else apprise.NotifyType.FAILURE
        if is_test(notice) or (notice.run is not None and not notice.run.text):
            kind = apprise.NotifyType.INFO
        with _Overheard() as heard:
            sent = service.notify(
                title=title(notice),
                body="\n".join(lines(notice, _find_room(service))),
                notify_type=kind,
                body_format=apprise.NotifyFormat.TEXT,  # else markup of others is taken for ours
            )
        if not sent:
            why = f": {heard.last}" if heard.last else ""
            raise NotificationError(
                f"the service refused it, or was not reached{why}", hint="check its url"
            )
        return "sent"


def open_service(url: str) -> apprise.Apprise:
    """Return the Apprise service for a URL, which cuts what is longer than the service accepts.

    By itself, Apprise sends it as it is, and many services refuse it each time.

    Raises:
        ConfigError: The library is missing, or does not support the URL.
    """
    require_extra("apprise", "type apprise", "apprise")
    import apprise

    scheme = one_line(url.partition("://")[0], 40) if "://" in url else "no scheme"
    service = apprise.Apprise()
    with _Overheard():
        known = service.add(url)
    if not known or len(service) == 0:
        raise ConfigError(
            f"Apprise refuses the url ({scheme}://...)",
            hint="write it as Apprise's page on that service says; `apprise -vv` tells more",
        )
    for one in service:
        if "overflow_mode" not in vars(one):  # else the url has `overflow`
            one.overflow_mode = apprise.OverflowMode.TRUNCATE
    return service


def _find_room(service: apprise.Apprise) -> float:
    """Return the most characters of a message that is to be cut; of any other, infinity."""
    import apprise

    cut = (one for one in service if one.overflow_mode == apprise.OverflowMode.TRUNCATE)
    return min((one.body_maxlen for one in cut), default=inf)


class _Overheard(logging.Filter):
    """Keeps the library's log records out of the log, because they contain URLs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self._log = logging.getLogger("apprise")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self.last = one_line(record.getMessage(), _SHOWN)
        return False

    def __enter__(self) -> Self:
        self._log.addFilter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeFilter(self)
