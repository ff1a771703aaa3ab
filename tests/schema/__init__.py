"""What a schema is as a value, for each kind of database."""
