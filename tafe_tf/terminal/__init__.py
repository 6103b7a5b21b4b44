"""How commands begin and end, and what they print: tables and progress."""
