"""Code shared by the storages that use HTTP."""
