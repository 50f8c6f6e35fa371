"""Code shared by S3 and Azure."""
