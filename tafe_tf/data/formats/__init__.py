"""CSV, Parquet and TFRecord files: read to blocks, and written."""
