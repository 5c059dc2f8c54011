"""What is durable: files in the spool, rows in the database."""
