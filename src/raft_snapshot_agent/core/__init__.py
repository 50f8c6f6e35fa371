"""Pure values and rules, without I/O, clock or log."""
