"""What Swift, WebDAV and Google Cloud Storage share."""
