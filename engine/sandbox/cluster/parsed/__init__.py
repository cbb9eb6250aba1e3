"""`jsonParsed`: accounts and instructions of well-known programs in the words that a node has for them."""
