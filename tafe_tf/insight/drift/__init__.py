"""Whether the rows of today are like those that a model was trained on.

distances.py   how far two distributions are apart, and how far n rows are by chance
observed.py    what the rows hold, counted as training counted its own
reference.py   a run, or an export, and what it noted of its training rows
reading.py     rows from request logs and from files
compare.py     both beside each other, and which differences count
job.py         all of it as a function
table.py       the result for a terminal
page.py        the result as a page
"""
