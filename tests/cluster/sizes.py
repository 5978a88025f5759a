"""Room for each instance of PostgreSQL, and for each node, on file systems of the harness: what a full disk can be made of."""

DATABASE_MIB, NODE_MIB = 4096, 64
