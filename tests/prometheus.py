"""Prometheus and its tool, where `make test` or this host has them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_FOLDERS = f"{os.environ['PATH']}:{_ROOT / '.venv' / 'prometheus' / 'usr' / 'bin'}"
PROMTOOL = shutil.which("promtool", path=_FOLDERS)
PROMETHEUS = shutil.which("prometheus", path=_FOLDERS)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: it comes with Debian's package prometheus"
)
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not here: it comes with Debian's package prometheus"
)
