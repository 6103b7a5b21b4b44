"""Models compared: their runs, the statistics of their differences, and the tables."""
