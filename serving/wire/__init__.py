"""How values and errors travel between client and server."""
