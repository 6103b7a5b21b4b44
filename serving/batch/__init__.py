"""Batch scoring: files in, Parquet parts out, resumable."""
