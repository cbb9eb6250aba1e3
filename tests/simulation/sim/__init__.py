"""The whole engine in a world that is made up: virtual time, one seed, and death at any external effect."""
