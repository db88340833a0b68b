"""What happens to voxels: preprocessing of whole volumes, random changes of patches in space and in intensity."""
