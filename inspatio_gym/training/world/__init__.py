"""A tiny STAR model, trained from nothing."""
