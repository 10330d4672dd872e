"""PostgreSQL: one database, any number of worker processes on any number of machines."""
