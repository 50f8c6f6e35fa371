"""No secret is in a document, and what is around one stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raft_snapshot_agent.observe.json_text import write_json
from raft_snapshot_agent.redaction import HIDDEN, remember

SECRET = "hunter2-hunter2\nsecond-line"
DOCUMENTS: tuple[Any, ...] = (
    {"a": ["x", 1, None, True, 2.5, {"b": ""}], "c": "d"},
    {"location": "s3://bucket", "name": "a@b", "list": ["https://x", "y@z"]},
    {"lines": "one\ntwo", "then": "three"},
    [],
    "text",
    {"letters": "ä\u2028\ud800"},
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_no_secret_stays_as_it_is(document: Any) -> None:
    told = json.dumps(document).replace("\\ud800", "?")
    assert json.loads(write_json(document)) == json.loads(told)


def test_secrets_are_hidden_on_whatever_lines_they_are() -> None:
    remember(SECRET)
    whole = {"a": f"x {SECRET} y", "b": ["before", "hunter2-hunter2"], "c": "https://u:p@host/"}
    told = json.loads(write_json(whole))
    assert "hunter2" not in json.dumps(told)
    assert told["b"] == ["before", HIDDEN]
    assert told["c"] == f"https://{HIDDEN}@host/"
