"""The page: its content is computed here, its appearance is in `assets/`."""
