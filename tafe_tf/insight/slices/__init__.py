"""Metrics of the rows that share a value of a column: for whom a model is wrong, worst first.

reading.py    the rows of a run: predictions, and the columns that divide them
values.py     a column's values -> slices, numbers by quantiles
measured.py   what each output predicts of a row, and what happened
measure.py    metrics of each slice, their intervals, and how many outcomes it misplaces
worse.py      in which slices one model is worse than another beyond noise
"""
