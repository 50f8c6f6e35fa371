"""Page, API and probes over HTTP: renderings of the one status, beside the loops."""
