"""How clients are served: sockets, connections, subscriptions, and the seam at which trouble enters."""
