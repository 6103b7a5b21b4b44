"""Speed, each as a command that prints a small table and a last line of JSON. Not installed with the package."""
