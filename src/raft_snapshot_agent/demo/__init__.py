"""A demo of all functions on an embedded cluster."""
