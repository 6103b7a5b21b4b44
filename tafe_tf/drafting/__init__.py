"""A first schema for files that have none, with the reason of each line.

names.py     what the name of a column tells
labels.py    which columns are the steps of the funnel, and what their values mean
special.py   the user, the time and the row weight
fields.py    which columns are fields, of which kind, and why the others are left out
lists.py     lists in texts, their lengths and their weights
histories.py lists of what a user had before, and what reads them
draft.py     the whole schema
toml_text.py the schema as TOML with its reasons as comments
"""
