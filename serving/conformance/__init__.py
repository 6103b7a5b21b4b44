"""Asks a running server everything that it must do."""
