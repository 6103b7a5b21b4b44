"""The figures of the TAFE paper, from any run of TAFE.

selector.py   what a model's selectors do to rows: rates, hardness, embeddings (Figures 5, 7)
daily.py      how many more outcomes one model finds than another, day by day (Figure 9)
charts.py     the same as charts with their plain reading, and as SVG files

Figure 8, the cost of training and serving, is `benchmarks/efficiency` (docs/efficiency.md).
"""
