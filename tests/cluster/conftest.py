"""Commands that run to their end try again at once; daemons, which are not told so, wait."""

from tests.patience import impatient

__all__ = ["impatient"]
