"""Page, API and probes over HTTP, rendered from the status."""
