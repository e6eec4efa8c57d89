"""One file a question; ``make bench`` runs them all."""
