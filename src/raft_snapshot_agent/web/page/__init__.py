"""The page: what is shown is worked out here, how it looks is in `assets/`."""
