"""What people read: tables of scores, curves."""
