"""All other services, through the library: told, refused, and without their URLs in any log."""

from __future__ import annotations

import logging

import pytest
from tests.receiver import Receiver
from tests.unit.core.statuses import NOW
from tests.unit.notify.notices import channel, notice, notifier, record, run_notice

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.errors import ConfigError, NotificationError
from raft_snapshot_agent.notify.message import make_test

SECRET = "0123456789abcdef-secret"


def url(receiver: Receiver) -> str:
    return receiver.url.replace("http://", "json://") + f"/{SECRET}"


def test_a_service_gets_title_and_text(receiver: Receiver) -> None:
    sender = channel("apprise", url=url(receiver))
    for told in (notice(), notice(record(ended=NOW)), run_notice(AlertEvent.SUCCESS)):
        assert sender.send(told) == "sent"
    sender.send(make_test(NOW))
    documents = [one.document for one in receiver.messages]
    assert [one["type"] for one in documents] == ["failure", "success", "info", "info"]
    assert documents[0]["title"] == "Raft snapshots (prod): snapshots fail"
    assert "no leader" in documents[0]["message"]


def test_markup_in_what_others_said_is_shown_as_text_where_a_service_takes_markup(
    receiver: Receiver,
) -> None:
    said = '<h1>All is well</h1> <a href="https://evil.example">look</a> & *more*'
    sender = channel("apprise", url=f"{url(receiver)}?format=html")
    assert sender.send(notice(record(text=said), record(storage="s3"))) == "sent"
    (document,) = (one.document for one in receiver.messages)
    text = document["message"]
    assert "<h1>" not in text
    assert "<a " not in text
    assert "&lt;h1&gt;All" in text
    assert "<br" in text  # each alert on a line of its own


def test_a_service_that_fails_is_told_without_its_url(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    with pytest.raises(NotificationError) as caught:
        channel("apprise", url=url(receiver)).send(notice())
    assert SECRET not in str(caught.value) + caplog.text
    assert "500" in str(caught.value) or "error" in str(caught.value).lower()


def test_a_url_that_the_library_refuses_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    for wrong in (SECRET, f"nosuch://{SECRET}", f"slack://{SECRET}"):
        with pytest.raises(ConfigError, match="Apprise refuses the url"):
            notifier("apprise", url=wrong).check([""])
    assert caplog.text == ""
    assert logging.getLogger("apprise").filters == []


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"raft-snapshot-agent\[apprise\]"):
        notifier("apprise", url="json://h").check([""])
