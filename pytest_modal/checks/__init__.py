"""Find the classic mistakes of Modal code before a GPU is paid for. Standard library only; nothing is imported."""
