"""Modalities that fail: how to corrupt them, how to tell, and what to put in their place."""
