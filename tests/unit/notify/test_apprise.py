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


def mattermost(receiver: Receiver, query: str = "") -> str:
    return receiver.url.replace("http://", "mmost://") + f"/{'0' * 24}{query}"


def test_a_long_message_is_cut_at_a_line_to_what_the_service_takes(receiver: Receiver) -> None:
    text = "no node answers: <no connection> & no route; " * 6
    many = [record(cluster=f"tenant-{number:03}", text=text) for number in range(100)]
    for form in ("text", "markdown"):
        sender = channel("apprise", url=mattermost(receiver, f"?format={form}"))
        assert sender.send(notice(*many)) == "sent"
        told = receiver.messages[-1].document["text"]
        assert len(told) <= 4000
        title, *clusters, last = told.splitlines()
        assert title.endswith("snapshots fail")
        assert len(clusters) > 5
        assert last == f"and {100 - len(clusters)} more"


def test_a_line_that_is_too_long_for_a_service_is_cut(receiver: Receiver) -> None:
    subjects = [f"{number}{'c' * 990}" for number in range(3)]
    long = [record(cluster=one, text="x" * 1000) for one in subjects]
    assert channel("apprise", url=mattermost(receiver)).send(notice(*long)) == "sent"
    (message,) = receiver.messages
    assert 3000 < len(message.document["text"]) <= 4000


def test_overflow_in_the_url_says_what_becomes_of_a_long_message(receiver: Receiver) -> None:
    long = notice(*(record(cluster=f"tenant-{number}", text="x" * 700) for number in range(10)))
    for mode, count in (("split", 2), ("upstream", 1)):
        receiver.messages.clear()
        sender = channel("apprise", url=mattermost(receiver, f"?overflow={mode}"))
        assert sender.send(long) == "sent"
        assert len(receiver.messages) == count
        told = "".join(one.document["text"] for one in receiver.messages)
        assert "tenant-9: xxx" in told


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
