"""Archives from the network onto the disk: https only, resumed where cut, checked, unpacked inside one folder."""
