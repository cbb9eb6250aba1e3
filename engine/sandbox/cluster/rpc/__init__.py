"""What a node answers: its methods, their parameters and refusals, and the JSON of everything."""
