"""A file as the rules know it: its tree, its GPU functions, their imports, images and files."""
