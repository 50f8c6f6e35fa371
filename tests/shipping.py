"""Tools that read what is shipped as those do whom it is shipped to; `make soak` fetches them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_FOLDERS = f"{os.environ['PATH']}:{_ROOT / '.venv' / 'shipping' / 'bin'}"
HADOLINT = shutil.which("hadolint", path=_FOLDERS) or ""
_VALIDATE = shutil.which("kubernetes-validate", path=_FOLDERS)
PYTHON = str(Path(_VALIDATE).with_name("python")) if _VALIDATE else ""
"""A Python that has Helm and the schemas of Kubernetes."""
_WHY = "is not here: `make soak` installs it"
needs_hadolint = pytest.mark.skipif(not HADOLINT, reason=f"hadolint {_WHY}")
needs_helm = pytest.mark.skipif(not PYTHON, reason=f"Helm {_WHY}")
