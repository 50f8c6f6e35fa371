from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raft_snapshot_agent.config import drill_host
from raft_snapshot_agent.config.check import check, check_drill, check_to_run
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers import private, programs
from raft_snapshot_agent.servers.private import Isolation

CANARY = "{path: secret/app, field: a, %s}"


def text(canary: str = "", keys: str = "[k]", more: str = "") -> str:
    canaries = f"\n  canaries: [{canary}]" if canary else ""
    return f"vault: {{address: 'http://127.0.0.1:1'}}\ndrill:\n  unseal: {{keys: {keys}}}{canaries}{more}\n"


def test_all_of_it_is_read(load_text: Callable[..., Loaded]) -> None:
    more = "\n  issuers: [{mount: pki, root: /r.pem}]\n  server: /usr/bin/bao\n  keep: true"
    drill = load_text("c.yaml", text(CANARY % "matches: 'a.*'", more=more)).config.drill

    assert drill.canaries[0].path == "secret/app"
    assert drill.keep
    assert str(drill.server) == "/usr/bin/bao"


@pytest.mark.parametrize(
    ("canary", "where", "what"),
    [
        (CANARY % "", "canaries[0]", "give one of sha256, matches, equals_secret"),
        (CANARY % f"matches: a, sha256: '{'0' * 64}'", "canaries[0]", "give one of"),
        (CANARY % "matches: '('", "canaries[0].matches", "must be a regular expression"),
        (CANARY % "sha256: zz", "canaries[0].sha256", "must be 64 digits in lower-case hex"),
        ("{path: /secret/app, field: a, matches: a}", "canaries[0].path", "must be a path"),
        ("{path: secret/app, matches: a}", "canaries[0]", "field"),
    ],
)
def test_what_proves_nothing_is_refused_with_its_line(
    refusal: Callable[..., str], canary: str, where: str, what: str
) -> None:
    line = refusal("c.yaml", text(canary))
    assert line.startswith("c.yaml:4:")
    assert f"drill.{where}" in line
    assert what in line


def test_canaries_need_keys(refusal: Callable[..., str]) -> None:
    line = refusal("c.yaml", "drill:\n  canaries: [{path: a/b, field: c, matches: d}]\n")
    assert line.startswith("c.yaml:1:1: drill")
    assert "unseal.keys" in line


def test_only_who_drills_needs_the_keys(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = load_text("c.yaml", text(keys="['env://NOT_THERE']"), {"VAULT_TOKEN": "t"})
    environ = {"TMPDIR": str(tmp_path)}

    check_to_run(loaded.config, environ, loaded.position)
    place = r"c\.yaml:3:\d+: drill\.unseal\.keys\[0\]: .*NOT_THERE"
    with pytest.raises(ConfigError, match=place):
        check_drill(loaded.config.drill, loaded.position)
    with pytest.raises(ConfigError, match=place):
        check(loaded.config, environ, loaded.position)


def test_what_only_a_kms_needs_is_refused_without_its_seal(refusal: Callable[..., str]) -> None:
    line = refusal("c.yaml", text(keys="[k], reach: ['kms:443']"))
    assert line.startswith("c.yaml:3:")
    assert "reach is for a copy that a KMS unseals: give seal, too" in line


def test_a_login_that_somebody_else_decides_is_refused(refusal: Callable[..., str]) -> None:
    more = "\n  login: {method: ldap, username: a, password: b}"
    line = refusal("c.yaml", text(more=more))
    assert "drill.login" in line
    assert "write one of approle, userpass" in line


def test_a_login_needs_keys(refusal: Callable[..., str]) -> None:
    line = refusal("c.yaml", "drill:\n  login: {method: userpass, username: a, password: b}\n")
    assert "unseal.keys" in line


SCHEDULED = "\n  schedule: {every: 1d}"


def faults_of(loaded: Loaded, folder: Path) -> list[str]:
    try:
        check(loaded.config, {"TMPDIR": str(folder)}, loaded.position)
    except ConfigError as error:
        return [str(one).removeprefix(f"{folder}/") for one in error.each]
    return []


@pytest.fixture
def bare_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host without a server for drills, that isolates no process."""
    refused = Isolation(works=False, why="unshare: Operation not permitted")
    monkeypatch.setattr(private, "isolation", lambda _: refused)
    monkeypatch.setattr(programs, "_find_installed", lambda _: None)
    drill_host._find_obstacle.cache_clear()
    yield
    drill_host._find_obstacle.cache_clear()


def test_a_drill_on_schedule_that_this_host_cannot_run_is_refused(
    load_text: Callable[..., Loaded], tmp_path: Path, bare_host: None
) -> None:
    root = tmp_path / "root.pem"
    root.write_text("no certificate")
    issuers = f"\n  issuers: [{{mount: pki, root: {root}}}]"
    scheduled = load_text("c.yaml", text(more=issuers + SCHEDULED), {"VAULT_TOKEN": "t"})

    server, issuer, closed = faults_of(scheduled, tmp_path)
    assert server.startswith("c.yaml:5:3: drill.schedule: no server for the drill")
    assert issuer.startswith(f"c.yaml:4:3: drill.issuers: {root} holds no certificate")
    assert closed.startswith("c.yaml:3:3: drill.unseal: a restored copy cannot be isolated")
    by_hand = load_text("c.yaml", text(more=issuers), {"VAULT_TOKEN": "t"})
    assert faults_of(by_hand, tmp_path) == [issuer]
    check_to_run(scheduled.config, {"TMPDIR": str(tmp_path)}, scheduled.position)


def test_a_copy_that_stays_sealed_needs_no_isolation(
    load_text: Callable[..., Loaded], tmp_path: Path, bare_host: None
) -> None:
    sealed = f"vault: {{address: 'http://127.0.0.1:1'}}\ndrill:{SCHEDULED}\n"
    loaded = load_text("c.yaml", sealed, {"VAULT_TOKEN": "t"})
    (fault,) = faults_of(loaded, tmp_path)
    assert "no server for the drill" in fault


@pytest.fixture
def kms(tmp_path: Path) -> Callable[..., str]:
    """Write a configuration whose copy is unsealed by a KMS."""

    def write(
        environment: str = "{A: secret}", files: str = "", stanza: str = 'seal "transit" {}'
    ) -> str:
        (seal := tmp_path / "seal.hcl").write_text(stanza)
        more = f"seal: {seal}, files: [{files}]" if files else f"seal: {seal}"
        return (
            "vault: {address: 'http://127.0.0.1:1'}\n"
            f"drill:\n  unseal: {{{more}, environment: {environment}}}\n"
        )

    return write


@pytest.mark.parametrize(
    ("given", "where", "what"),
    [
        ({"environment": "{A: 'env://NOPE'}"}, "environment.A", "variable NOPE is missing"),
        ({"environment": "{A: 'file:///nope'}"}, "environment.A", "/nope: No such file"),
        ({"files": "/etc/hostname, /nope.pem"}, "files[1]", "cannot read /nope.pem"),
        ({"stanza": 'storage "raft" {}'}, "seal", "has no `seal` stanza"),
    ],
)
def test_what_a_seal_lacks_is_told_before_a_drill(
    load_text: Callable[..., Loaded],
    kms: Callable[..., str],
    tmp_path: Path,
    given: dict[str, str],
    where: str,
    what: str,
) -> None:
    sound = load_text("c.yaml", kms(), {"VAULT_TOKEN": "t"})
    assert faults_of(sound, tmp_path) == []
    (fault,) = faults_of(load_text("c.yaml", kms(**given), {"VAULT_TOKEN": "t"}), tmp_path)
    assert fault.startswith("c.yaml:3:")
    assert f"drill.unseal.{where}: " in fault
    assert what in fault


@pytest.mark.parametrize("name", ["A=B", "1A", "A B", "A-B", "\u00e4"])
def test_what_no_variable_is_called_is_refused_and_not_shown(
    refusal: Callable[..., str], kms: Callable[..., str], name: str
) -> None:
    line = refusal("c.yaml", kms(f"{{'{name}': hunter2}}"))
    assert "drill.unseal.environment: a variable's name has letters, digits and _ only" in line
    assert name not in line
    assert "hunter2" not in line


@pytest.mark.parametrize(("value", "what"), [("''", "is empty"), ("", "has no value")])
def test_a_variable_without_a_value_is_refused(
    refusal: Callable[..., str], kms: Callable[..., str], value: str, what: str
) -> None:
    line = refusal("c.yaml", kms(f"{{A: {value}}}"))
    assert f"drill.unseal.environment.A: {what}" in line
