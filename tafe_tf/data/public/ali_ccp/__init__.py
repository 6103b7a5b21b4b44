"""The raw files of Ali-CCP as shards."""
