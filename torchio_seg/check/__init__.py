"""What can be wrong with a data set, one check a function: from what is known to findings, reading nothing itself."""
