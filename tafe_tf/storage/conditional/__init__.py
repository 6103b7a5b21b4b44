"""Clients of stores that put an object on a condition, one file a store."""
