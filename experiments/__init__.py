"""What a researcher launches and forks."""
