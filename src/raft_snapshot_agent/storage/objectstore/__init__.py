"""What S3 and Azure share."""
