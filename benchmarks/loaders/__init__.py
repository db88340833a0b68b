"""Ways to make augmented training patches, a file each, which bench_loading.py measures side by side.

Each file has `batches(folder, num_workers, seed)`, an endless stream of images B C I J K (float32) and labels
B 1 I J K of the cases in the folder, as the library's own documentation recommends to make it; its imports stand at
its top. One whose cases must first be brought into another form has `prepare(folder)` as well;
WARM_UP is how many patches come between the first batch and what is measured, if another number than usual.
"""

LOADERS = ("queue_raw", "queue_arrays", "monai_cache", "nnunet", "memmap", "ours", "ours_nnunet")
