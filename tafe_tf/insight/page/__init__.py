"""Self-contained HTML pages: text, tables and charts, without scripts and without a network.

parts.py    what a page is made of: sections of text, tables and charts
ticks.py    axes: where their marks are, and how numbers are written
svg.py      a chart as SVG, which a page holds and a file can be
page.html   the page's template: headings, styles for light, dark, a phone and print
render.py   a title and sections -> the page

To make another page, describe it and render it:

    from tafe_tf.insight.page.parts import Axis, Chart, Section, Series, Table
    from tafe_tf.insight.page.render import write

    chart = Chart(
        title="AUC by epoch",
        x=Axis(label="epoch"),
        y=Axis(label="AUC"),
        series=[Series(name="ctr", x=[1, 2], y=[0.71, 0.73])],
        about="The higher the better; a line that falls at its end has learned too long.",
    )
    table = Table(caption="The rows", header=["step", "rows"], rows=[["ctr", 1000]])
    write("page.html", "A title", [Section(title="Training", about="...", parts=[chart, table])])

All texts are escaped. A number is written with few digits, None as "-".
"""
