"""What a run did, and how a cluster and its storages are."""
