"""One storage and its snapshots: listing, verification, guard, retention."""
