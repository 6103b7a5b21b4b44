"""What `spark-submit` takes: a file that runs the `tafe` command of its arguments.

    spark-submit --master=spark://HOST:7077 examples/spark_submit.py score --runner=spark

The package must be installed on every worker. Where there is no checkout, make a file of the lines
below; its name does not matter.
"""

from tafe_tf.__main__ import main

main()
