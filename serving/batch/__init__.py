"""Scores files into Parquet files; a job that was killed goes on where it was."""
