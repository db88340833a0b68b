"""From stored cases to batches of patches, the same for any number of workers.

Everything random about a patch follows from (seed, epoch, case, number of the patch), never from torch's global
generator; so any patch of any epoch can be made by itself.
"""
