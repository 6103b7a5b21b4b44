"""Where batches come from: files and tables, read, checked, shuffled and cut; public data sets."""
