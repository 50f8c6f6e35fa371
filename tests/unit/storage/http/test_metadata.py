from __future__ import annotations

from datetime import timedelta

import pytest

from raft_snapshot_agent.errors import StorageError, StorageUnavailable
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.metadata import MetadataService, briefly

HERE = "http://127.0.0.1:1"


class Asked:
    """A request that fails until it is told to answer."""

    def __init__(self, error: StorageError | None) -> None:
        self.error = error
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        if self.error is not None:
            raise self.error
        return "a token"


def failing(service: MetadataService, asked: Asked, doing: str, address: str = HERE) -> str:
    with pytest.raises(StorageError) as caught:
        service.ask(doing, address, asked)
    assert type(caught.value) is type(asked.error)
    return caught.value.message


def test_a_service_that_failed_is_not_asked_again_for_a_while() -> None:
    now = 100.0
    service = MetadataService(clock=lambda: now)
    asked = Asked(StorageUnavailable("cannot list: no answer", hint="look"))
    assert failing(service, asked, "cannot list") == "cannot list: no answer"
    assert failing(service, asked, "cannot store") == "cannot store: no answer"
    assert asked.times == 1
    failing(service, asked, "cannot list", "http://127.0.0.2:1")
    assert asked.times == 2
    now += 60
    asked.error = None
    assert service.ask("cannot list", "http://127.0.0.2:1", asked) == "a token"


def test_a_service_that_is_known_to_be_there_is_asked_each_time() -> None:
    service = MetadataService(lambda: True)
    asked = Asked(StorageUnavailable("cannot list: no answer", hint="raise timeout"))
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="cannot list: no answer") as caught:
            service.ask("cannot list", HERE, asked)
        assert "may not be ready yet" in caught.value.hint
    assert asked.times == 2
    asked.error = StorageUnavailable("cannot list through proxy x: no answer", hint="ask it")
    with pytest.raises(StorageUnavailable) as caught:
        service.ask("cannot list", HERE, asked)
    assert caught.value.hint == "ask it"


def test_a_service_that_takes_no_connection_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited = []

    def refuse(*_: object, timeout: object, **__: object) -> None:
        waited.append(timeout)
        raise TimeoutError

    monkeypatch.setattr("raft_snapshot_agent.network.exchange.exchange", refuse)
    http = briefly(Http(timedelta(minutes=1), TlsOptions()))
    with pytest.raises(StorageUnavailable, match="no answer in time"):
        http.ask("cannot list", "GET", HERE, {})
    assert "connect=2.0, read=10.0" in str(waited)
