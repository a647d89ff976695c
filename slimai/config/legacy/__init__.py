"""Legacy ``.cfg`` files in and out."""
