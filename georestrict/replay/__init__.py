"""Replaying access logs: who would have been hit by a policy, before it is in force."""
