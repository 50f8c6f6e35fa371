"""A storage and what it keeps: listing, verification, guard, retention."""
