"""The HTTP API: one door with one way of asking who calls, what they may do, and what is wrong with what they sent."""
