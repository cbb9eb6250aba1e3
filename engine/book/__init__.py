"""The book: every position in columns, and who crosses a line when a price moves."""
