"""What we need of the world, as small Protocols in the words of the side that needs them."""
