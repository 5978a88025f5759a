"""A cluster on one machine, with real processes: three nodes on a PostgreSQL with a synchronous standby, driven by clients while things break.

Read `__main__.py` for what can be asked of it, `rounds.py` for what a round is, `checks.py` for what has to hold afterwards.
docs/reliability.md explains the table that it prints.
"""
