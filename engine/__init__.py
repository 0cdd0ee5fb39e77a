"""The domain: every row, every state, and the only code that changes them. No HTTP, no torch."""
