"""Commands that run to their end try again at once; daemons, which are not told so, wait."""

from tests.cluster.closed import closed_in, system_python
from tests.patience import impatient

__all__ = ["closed_in", "impatient", "system_python"]
