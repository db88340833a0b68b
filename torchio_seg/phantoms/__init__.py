"""Made-up patients: anatomy drawn from random numbers, so that everything can be tried without any data."""
