"""Public and synthetic datasets as shards with a schema."""
