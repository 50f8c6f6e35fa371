"""Read a stored snapshot, restore it, recover single secrets, or run a drill."""
