"""Trying a policy before it bites: its cases, an explanation, a comparison, and advice."""
