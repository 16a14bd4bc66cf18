"""The command line; `app.py` lists its commands."""
