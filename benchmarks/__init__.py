"""Benchmarks, each a command that ends with a line of JSON; not installed with the package."""
