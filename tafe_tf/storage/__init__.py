"""The one door for bytes that lie in an object store; local paths do not pass through it."""
