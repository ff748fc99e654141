"""The merge language (a bounded subset of Jinja2) and a variant's frozen form: compose writes, render reads. Pure."""
