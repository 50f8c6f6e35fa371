"""What is wrong with notifiers is told in one line each, with its place, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config.check import check, check_to_run
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.show import shown_fleet
from raft_snapshot_agent.errors import ConfigError

LoadText = Callable[..., Loaded]
ENVIRON = {"VAULT_ADDR": "https://h:8200", "VAULT_TOKEN": "token"}
SECRET = "0123456789abcdef-secret"


def text(folder: Path, notifier: str) -> str:
    return f"storages: [{{type: local, path: {folder}}}]\nnotify:\n  - {notifier}\n"


@pytest.mark.parametrize(
    ("notifier", "said"),
    [
        (
            "{type: webhok, url: 'https://h'}",
            "3:6: notify[0].type: unknown type 'webhok' (did you mean 'webhook'?)",
        ),
        (
            "{type: webhook, url: 'https://h', on: [faild]}",
            "3:44: notify[0].on[0]: unknown value 'faild' (did you mean 'failed'?)",
        ),
        ("{type: webhook, url: 'https://h', on: []}", "is empty"),
        ("{type: webhook, url: 'https://h', on: [recovered]}", "only recovered"),
        ("{type: webhook, url: 'https://h', on: [stale, stale]}", "twice"),
        ("{type: healthchecks, url: 'https://h', on: [stale]}", "stale is not told to a check"),
        ("{type: alertmanager, url: 'https://h', on: [success]}", "success does not last"),
        ("{type: alertmanager, url: 'https://h', labels: {a-b: c}}", "'a-b'"),
        ("{type: webhook, url: 'https://h', repeat: 1s}", "between 1m and 30d"),
        ("{type: webhook, url: 'https://h', timeout: 1h}", "at most 5m"),
        ("{type: webhook, url: 'https://h', name: a b}", "letters, digits"),
        ("{type: webhook, url: 'https://h', clusters: [a]}", "no cluster is called 'a'"),
        ("{type: webhook}", "notify[0].url: required key is missing"),
        ("{type: exec}", "notify[0].command: required key is missing"),
        ("{type: exec, command: true}", "must be a list"),
        ("{type: webhook, uri: 'https://h'}", "did you mean 'url'?"),
    ],
)
def test_what_the_file_has_wrong_is_told_at_its_place(
    refusal: Callable[..., str], tmp_path: Path, notifier: str, said: str
) -> None:
    line = refusal("a.yaml", text(tmp_path, notifier))
    assert said in line
    assert line.startswith("a.yaml:3:")


@pytest.mark.parametrize(
    ("notifier", "said"),
    [
        ("{type: webhook, url: 'env://NO_SUCH_VARIABLE'}", "notify[0].url: the secret in"),
        ("{type: webhook, url: 'https://h', secret: 'env://NO_SUCH'}", "notify[0].secret: "),
        ("{type: webhook, url: 'https://h', secret: short}", "at least 16 bytes"),
        ("{type: webhook, url: 'https://h', secret: 'whsec_?'}", "no base64"),
        ("{type: webhook, url: 'http://hooks.example.com/'}", "not encrypted"),
        ("{type: webhook, url: 'https://169.254.169.254/'}", "allow_private: true"),
        ("{type: webhook, url: 'https://h', ca_file: /no/such/file}", "notify[0].ca_file: cannot"),
        ("{type: apprise, url: 'nosuchservice://x'}", "Apprise refuses the url (nosuchservice:"),
        (f"{{type: apprise, url: '{SECRET}'}}", "Apprise refuses the url"),
        ("{type: exec, command: [no-such-program]}", "cannot run no-such-program"),
    ],
)
def test_what_only_this_host_can_tell_is_found_by_the_check_and_stops_no_run(
    load_text: LoadText, tmp_path: Path, notifier: str, said: str
) -> None:
    loaded = load_text("a.yaml", text(tmp_path, notifier), ENVIRON)
    with pytest.raises(ConfigError) as caught:
        check(loaded.config, {}, loaded.position)
    (line,) = caught.value.lines
    assert said in line
    assert "a.yaml:3:" in line
    assert SECRET not in line
    assert check_to_run(loaded.config, {}, loaded.position) == {}


FLEET = """
storages: [{type: local, path: /x}]
notify: [{type: healthchecks, url: 'https://h/x'}, {type: webhook, url: 'https://h', clusters: [b]}]
clusters:
  a: {vault: {address: 'https://a:8200'}}
  b: {vault: {address: 'https://b:8200'}}
"""


def test_the_list_stands_once_for_all_clusters(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(FLEET)
    fleet = load_all(file, ENVIRON)
    assert [one.name for one in fleet.clusters["b"].config.notify] == ["healthchecks", "webhook"]
    shown = shown_fleet(fleet)
    assert len(shown["notify"]) == 2
    assert "notify" not in shown["clusters"]["a"]
    with pytest.raises(ConfigError) as caught:
        check(fleet.first.config, {}, fleet.first.position, fleet.clusters)
    assert any(
        "a.yaml:3:10: notify[0]: 2 clusters would ping one" in one for one in caught.value.lines
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clusters: [b]}", "clusters: [b, c]}", "no cluster is called 'c'; there are: a, b"),
        ("a: {", "a: {notify: [], ", "belongs at the top of the file"),
    ],
)
def test_of_a_fleet_too_each_fault_has_its_place(
    refusal: Callable[..., str], old: str, new: str, said: str
) -> None:
    assert said in refusal("a.yaml", FLEET.replace(old, new, 1))


def test_two_of_one_type_have_different_names(load_text: LoadText, tmp_path: Path) -> None:
    two = "{type: webhook, url: 'https://a'}\n  - {type: webhook, url: 'https://b'}"
    loaded = load_text("a.yaml", text(tmp_path, two), ENVIRON)
    assert [one.name for one in loaded.config.notify] == ["webhook", "webhook-2"]


def test_no_secret_of_a_notifier_is_shown(load_text: LoadText, tmp_path: Path) -> None:
    secret = f"{{type: webhook, url: 'https://h/{SECRET}', secret: {SECRET}, token: {SECRET}}}"
    loaded = load_text("a.yaml", text(tmp_path, secret), ENVIRON)
    shown = str(shown_fleet(load_all(loaded.path, ENVIRON)))
    assert SECRET not in shown + repr(loaded.config)
