"""One run: download, verify, store everywhere, finish."""
