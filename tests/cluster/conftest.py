"""Commands that run to their end try again at once; daemons, which are not told so, wait."""

from tests.cluster.closed import closed_in, system_python
from tests.cluster.fleet import archive, fleet, opened
from tests.patience import impatient

__all__ = ["archive", "closed_in", "fleet", "impatient", "opened", "system_python"]
