"""A service that breaks the rules of HTTP on purpose, and the transports that meet it."""
