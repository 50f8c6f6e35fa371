"""What is sent over HTTP, and what becomes of it when the receiver misbehaves."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.raw_server import RawServer
from tests.receiver import Message, Receiver
from tests.unit.core.statuses import NOW
from tests.unit.notify.notices import channel, notice, notifier, record, run_notice

from raft_snapshot_agent.cli import notifying
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.config.loaded import Loaded, LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.core.alarms.alert_events import CONDITIONS, AlertEvent
from raft_snapshot_agent.errors import AgentError, ConfigError, NotificationError
from raft_snapshot_agent.notify.healthchecks import run_uuid
from raft_snapshot_agent.notify.message import document, make_test
from raft_snapshot_agent.redaction import remember

SECRET = "a-secret-of-the-receiver"
TOKEN = "hvs.CAESIJ1pOMGtQgbwLhRmCXKV8tdTnNoKhm0K"
HTTP = ("webhook", "healthchecks", "alertmanager")


def only(receiver: Receiver) -> Message:
    (message,) = receiver.messages
    return message


def is_signed(message: Message, secret: bytes) -> bool:
    headers = message.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message.body
    proof = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return headers["webhook-signature"] == f"v1,{proof}"


def test_a_webhook_gets_the_document(receiver: Receiver) -> None:
    assert channel("webhook", url=f"{receiver.url}/hook?a=b").send(notice()) == "200 OK"
    message = only(receiver)
    assert message.path == "/hook?a=b"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == message.document["id"]
    assert message.document == document(notice())
    (alert,) = message.document["alerts"]
    assert (alert["cluster"], alert["event"], alert["text"]) == ("prod", "failed", "no leader")


@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_webhook_is_signed_so_that_any_change_is_seen(receiver: Receiver, prefix: str) -> None:
    key = b"0123456789abcdef-key"
    secret = f"{prefix}{base64.b64encode(key).decode()}" if prefix else key.decode()
    channel("webhook", url=receiver.url, secret=secret, token=SECRET).send(notice())
    message = only(receiver)
    assert is_signed(message, key)
    assert not is_signed(replace(message, body=message.body + b" "), key)
    assert not is_signed(message, b"another")
    assert int(message.headers["webhook-timestamp"]) > 1_700_000_000
    assert message.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (AlertEvent.START, "/ping/u/start"),
        (AlertEvent.SUCCESS, "/ping/u"),
        (AlertEvent.FAILED, "/ping/u/fail"),
        (AlertEvent.PARTIAL, "/ping/u/fail"),
    ],
)
def test_a_check_is_pinged_with_the_uuid_of_the_run(
    receiver: Receiver, event: AlertEvent, path: str
) -> None:
    told = run_notice(event, text="no leader")
    channel("healthchecks", url=f"{receiver.url}/ping/u").send(told)
    message = only(receiver)
    assert told.run is not None
    assert message.path == f"{path}?rid={run_uuid(told.run)}"
    assert b"no leader" in message.body


def test_each_cluster_has_a_check_of_its_own(receiver: Receiver) -> None:
    sender = channel("healthchecks", url=f"{receiver.url}/key/{{cluster}}?create=1")
    sender.send(run_notice(AlertEvent.SUCCESS, cluster="Prod a/b"))
    assert only(receiver).path.startswith("/key/prod-a-b?create=1&rid=")


def test_names_of_checks_are_those_that_healthchecks_takes(receiver: Receiver) -> None:
    sender = channel("healthchecks", url=f"{receiver.url}/key/{{cluster}}")
    for name in ("prod.eu", "prod_us", "a-1"):
        sender.send(run_notice(AlertEvent.SUCCESS, cluster=name))
    paths = [one.path.partition("?")[0] for one in receiver.messages]
    assert paths == ["/key/prod-eu", "/key/prod_us", "/key/a-1"]


def test_a_test_ping_is_neither_success_nor_failure(receiver: Receiver) -> None:
    channel("healthchecks", url=f"{receiver.url}/u").send(make_test(NOW))
    assert only(receiver).path.startswith("/u/log?")


def test_each_clusters_check_is_tested(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{receiver.url}/key/{{cluster}}?create=1"
    several = (notifier("healthchecks", url=url), notifier("webhook", url=receiver.url))
    loaded = Loaded(Config().model_copy(update={"notify": several}))
    fleet = LoadedFleet({"prod.eu": loaded, "test": loaded})
    assert notifying.test(fleet, None, Format.JSON) == 0
    paths = sorted(one.path.partition("?")[0] for one in receiver.messages)
    assert paths == ["/", "/key/prod-eu/log", "/key/test/log"]
    receiver.status = 404
    assert notifying.test(fleet, "healthchecks", Format.JSON) == 2
    assert '"answer": "prod.eu: ' in capsys.readouterr().out


def test_the_alertmanager_gets_begin_and_end(receiver: Receiver) -> None:
    sender = channel("alertmanager", url=f"{receiver.url}/am/", labels={"team": "ops"})
    sender.send(notice(record(), record(text="y", storage="s3", ended=NOW)))
    assert only(receiver).path == "/am/api/v2/alerts"
    lasts, over = only(receiver).document
    assert lasts["labels"]["alertname"] == "RaftSnapshotFailed"
    assert lasts["labels"]["team"] == "ops"
    assert lasts["labels"]["cluster"] == "prod"
    assert lasts["startsAt"] == "2026-11-26T11:55:00Z"
    assert lasts["endsAt"] == "2026-11-26T12:20:00Z"
    assert (over["endsAt"], over["labels"]["storage"]) == ("2026-11-26T12:00:00Z", "s3")


@pytest.mark.parametrize(
    ("repeat", "until"), [("1m", "12:20:00Z"), ("5m", "12:20:00Z"), ("1h", "16:00:00Z")]
)
def test_an_alert_outlasts_the_pause_between_two_messages(
    receiver: Receiver, repeat: str, until: str
) -> None:
    channel("alertmanager", url=receiver.url, repeat=repeat).send(notice())
    assert only(receiver).document[0]["endsAt"] == f"2026-11-26T{until}"


def test_a_flood_is_cut_for_people_but_not_for_the_alertmanager(receiver: Receiver) -> None:
    many = notice(*(record(cluster=f"c{number}") for number in range(500)))
    channel("webhook", url=receiver.url).send(many)
    channel("alertmanager", url=receiver.url).send(many)
    short, whole = (one.document for one in receiver.messages)
    assert (len(short["alerts"]), short["left_out"]) == (100, 400)
    assert short["text"].count("\n") == 20
    assert short["title"] == "Raft snapshots (c0, c1, c2 and 497 more): snapshots fail"
    assert len({one["labels"]["cluster"] for one in whole}) == 500


@pytest.mark.parametrize("kind", HTTP)
def test_every_event_can_be_sent_and_the_test_too(receiver: Receiver, kind: str) -> None:
    sender = channel(kind, url=receiver.url)
    for event in CONDITIONS:
        sender.send(notice(event=event))
    sender.send(make_test(NOW))
    assert len(receiver.messages) == len(CONDITIONS) + 1


@pytest.mark.parametrize("kind", HTTP)
@pytest.mark.parametrize("answer", [gzip.compress(b"ok"), b"ok"], ids=["gzip", "another"])
def test_a_message_was_taken_however_the_answer_is_encoded(
    receiver: Receiver, kind: str, answer: bytes
) -> None:
    receiver.headers, receiver.answer = {"content-encoding": "gzip"}, answer
    assert channel(kind, url=receiver.url).send(notice()).startswith("200")


@pytest.mark.parametrize("kind", HTTP)
@pytest.mark.parametrize(
    ("status", "said"), [(500, "check the service"), (404, "check url"), (302, "not followed")]
)
def test_a_refusal_is_told_in_one_line_without_the_url(
    receiver: Receiver, kind: str, status: int, said: str
) -> None:
    receiver.status, receiver.headers = status, {"location": f"{receiver.url}/elsewhere"}
    receiver.answer = b'{"message": "go\\naway"}'
    with pytest.raises(NotificationError) as caught:
        channel(kind, url=f"{receiver.url}/{SECRET}").send(notice())
    text = str(caught.value)
    assert str(status) in text
    assert said in text
    assert SECRET not in text
    assert "\n" not in text
    assert len(receiver.messages) == 1


def hang(_: bytes) -> Iterator[bytes | float]:
    yield 60.0


def drip(_: bytes) -> Iterator[bytes | float]:
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
    while True:
        yield b"x"
        yield 0.05


def endless(_: bytes) -> Iterator[bytes | float]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        yield b"x" * 65536


def break_off(_: bytes) -> Iterator[bytes | float]:
    yield b"HTTP/1."


@pytest.mark.parametrize("says", [hang, drip, endless, break_off])
def test_no_receiver_keeps_a_message_for_ever(says: object) -> None:
    with RawServer(says) as server, pytest.raises(NotificationError) as caught:  # type: ignore[arg-type]
        channel("webhook", url=f"{server.address}/{SECRET}", timeout="1s").send(notice())
    assert SECRET not in str(caught.value)


def test_nobody_there_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotificationError, match="no connection"):
        channel("webhook", url=f"http://127.0.0.1:{port}/{SECRET}").send(notice())


def resolve_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let every name lead to an address: as whoever answers for a name can."""
    real = socket.getaddrinfo

    def lead(host: str, port: int, *more: object, **named: object) -> object:
        return real(address, port, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lead)


def test_a_name_that_leads_to_this_host_gets_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    with pytest.raises(NotificationError, match=r"127\.0\.0\.1, which is no public address"):
        channel("webhook", url=url, allow_http=True).send(notice())
    assert receiver.messages == []
    channel("webhook", url=url, allow_http=True, allow_private=True).send(notice())
    assert len(receiver.messages) == 1


def test_loopback_is_allowed_where_the_url_itself_says_so(receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    channel("webhook", url=f"http://localhost:{port}").send(notice())
    assert len(receiver.messages) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://169.254.169.254/latest", "169.254.169.254"),
        ("https://[fe80::1]/", "fe80::1"),
        ("https://[::ffff:169.254.169.254]/", "169.254.169.254"),
        ("https://metadata.google.internal/", "metadata.google.internal"),
        ("https://10.0.0.1/", "10.0.0.1"),
        ("https://192.168.1.1/", "192.168.1.1"),
        ("https://100.64.0.1/", "100.64.0.1"),
        ("https://[fd00::1]/", "fd00::1"),
        ("https://0.0.0.0/", "0.0.0.0"),
        ("http://hooks.example.com/", "not encrypted"),
        ("ftp://hooks.example.com/", "not a URL"),
        ("hooks.example.com", "not a URL"),
        ("https://h:99999/", "not a URL"),
        ("https://user:password@h/", "user name"),
    ],
)
@pytest.mark.parametrize("kind", HTTP)
def test_where_messages_may_not_go_is_known_before(kind: str, url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        notifier(kind, url=url).check([""])
    assert said in str(caught.value)
    with pytest.raises(AgentError):
        channel(kind, url=url).send(notice())


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/x", "https://8.8.8.8/", "http://localhost:9/"]
)
@pytest.mark.parametrize("kind", HTTP)
def test_public_addresses_and_loopback_are_good(kind: str, url: str) -> None:
    notifier(kind, url=url).check([""])


def test_several_clusters_do_not_ping_one_check() -> None:
    with pytest.raises(ConfigError, match=r"\{cluster\}"):
        notifier("healthchecks", url="https://h/x").check(["a", "b"])
    notifier("healthchecks", url="https://h/{cluster}").check(["a", "b"])
    notifier("healthchecks", url="https://h/x", clusters=("a",)).check(["a", "b"])
    with pytest.raises(ConfigError, match="Prod and prod would ping one check"):
        notifier("healthchecks", url="https://h/{cluster}").check(["prod", "test", "Prod"])
    notifier("healthchecks", url="https://h/{cluster}", clusters=("a",)).check(["a", "A"])
    with pytest.raises(ConfigError, match=r"prod-eu and prod\.eu would ping one check"):
        notifier("healthchecks", url="https://h/{cluster}").check(["prod.eu", "prod-eu"])


def test_where_the_only_cluster_has_no_name_nothing_stands_for_it() -> None:
    with pytest.raises(ConfigError, match="the only one has none"):
        notifier("healthchecks", url="https://h/{cluster}").check([""])


def test_no_secret_is_in_what_is_sent(receiver: Receiver) -> None:
    remember(SECRET)
    text = f"login with {SECRET} and {TOKEN} at https://u:pw@h/ failed\n" + "x" * 5000
    told = notice(record(text=text), record(cluster=SECRET, ended=NOW))
    for kind in HTTP:
        channel(kind, url=receiver.url).send(told)
        channel(kind, url=receiver.url).send(run_notice(AlertEvent.FAILED, text=text))
    sent = b"".join(one.body for one in receiver.messages).decode()
    assert "[hidden]" in sent
    for secret in (SECRET, TOKEN, "u:pw"):
        assert secret not in sent


def test_a_secret_is_looked_up_at_each_message(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "url"
    sender = channel("webhook", url=f"file://{file}")
    for path in ("/first", "/second"):
        file.write_text(f"{receiver.url}{path}")
        sender.send(notice())
    assert [one.path for one in receiver.messages] == ["/first", "/second"]


def test_a_message_goes_through_the_proxy(receiver: Receiver) -> None:
    sender = channel(
        "webhook", url="http://hooks.example.com/x", proxy=receiver.url, allow_http=True
    )
    sender.send(notice())
    assert only(receiver).path == "http://hooks.example.com/x"


def test_the_document_is_the_one_that_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/notifications.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    made = document(notice())
    assert shown.keys() == made.keys()
    assert shown["alerts"][0].keys() == made["alerts"][0].keys()
    run = document(run_notice(AlertEvent.SUCCESS))["run"]
    assert set(run) <= set(page.replace("`", " ").replace(",", " ").split())
    assert time.strptime(made["at"], "%Y-%m-%dT%H:%M:%SZ")
