"""What happened, read anew from the chain and from the database, without asking the engine."""
