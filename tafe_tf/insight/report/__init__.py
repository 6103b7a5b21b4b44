"""The report of runs: what a model has learned, how well, and for whom not, as one page.

seen.py       what is known of a run: its files, and its test rows predicted once
curves.py     ROC, lift, reliability and distributions of scores, with intervals
pairs.py      two models on the same rows: differences with intervals
described.py  sections from a run's files: what it is, epochs, fields, importance
measured.py   sections from its test rows: funnel, metrics, curves, slices
beside.py     sections of several runs, and of a run and its predecessor
figures.py    the section of the paper's figures
job.py        runs -> the page
lift.py       two models, runs or exports, on a log of days
"""
