"""The way back: read a stored snapshot, restore it, or try that."""
