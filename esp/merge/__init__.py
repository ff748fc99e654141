"""The merge language (a bounded subset of Jinja2) and the frozen form of a variant, shared by compose and render. Pure."""
