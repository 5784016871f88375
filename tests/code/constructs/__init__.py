"""Projects whose functions are planned here and run where the projects are not: each shows one construct of Python."""
