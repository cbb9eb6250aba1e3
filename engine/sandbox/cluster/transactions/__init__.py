"""What a transaction is: its bytes, accounts, budget, faults, and what it left behind when it landed."""
