"""What a message looks like in which a name is missing."""

from __future__ import annotations

import re

HOLES = re.compile(
    r"  | [:;,.)]|\(\)|\( |\bNone\b|: \(|:$|: :|\b(?:to|from|at|in|of|with|answered) (?:broke|is|:|\()"
    r"|:// |''|\"\""
)
