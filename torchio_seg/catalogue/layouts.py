"""Layouts of the user's own data, and the generated one."""

from __future__ import annotations

from torchio_seg.catalogue.entry import Entry


def _own(name: str, title: str, *, tree: str, channels: str, labels: str) -> Entry:
    how = (f"torchio-seg train --dataset {name} --root YOUR_FOLDER",)
    return Entry(name, title, tree, channels, labels, how)


LAYOUTS = (
    _own(
        "datalist",
        "Your own data, listed in a JSON file",
        tree="""\
YOUR_FOLDER/
  dataset.json     {"training": [{"image": "a/ct.nii.gz",
                                  "label": "a/organs.nii.gz",
                                  "fold": 0}, ...],
                    "validation": [...], "test": [...]}
  a/ b/ ...        the files, anywhere below; fold, validation
                   and test where you have them""",
        channels="one file a case, or a list of files, one a channel",
        labels="as the list names them, else as found in the files",
    ),
    _own(
        "table",
        "Your own data, listed in a CSV table",
        tree="""\
YOUR_FOLDER/
  cases.csv        id,FLAIR,T1w,label,group,split
                   p1,fl1.nii,t1.nii,seg1.nii,anna,train
  a/ b/ ...        the files, anywhere; group (whose scan it is)
                   and split (train, val, test or a fold) where
                   you have them""",
        channels="a column a channel",
        labels="as found in the files",
    ),
    _own(
        "folders",
        "Your own data, images and label maps in two folders",
        tree="""\
YOUR_FOLDER/
  images/          case_001.nii.gz ...
  labels/          a label map for each image: paired by name,
                   endings such as _seg and _mask stripped
or  train/Img/ and train/Mask/, or images/train/Img/ and
    masks/train/Mask/, with val and test alike;
or  a folder a case with an image and a label map""",
        channels="one file a case",
        labels="as found in the files",
    ),
    _own(
        "nnunet",
        "Data in the layout of nnU-Net (nnUNet_raw/DatasetNNN_NAME)",
        tree="""\
DatasetNNN_NAME/
  dataset.json     "channel_names", "labels", "file_ending"
  imagesTr/        case_001_0000.nii.gz, case_001_0001.nii.gz ...
  labelsTr/        case_001.nii.gz ...""",
        channels="as dataset.json names them, a file each",
        labels="as dataset.json names them",
    ),
    Entry(
        name="phantom",
        title="Generated patients: brains, abdomens, thoraxes",
        tree="data/phantom/     made by the command, in the Decathlon's layout",
        channels="MRI sequences of a brain, or CT",
        labels="tumour regions of a brain, or organs",
        cases="24, or as many as asked for",
        licence="none: drawn from random numbers",
        size="a few MB",
        how=("torchio-seg train --dataset phantom", "torchio-seg phantom FOLDER     (only the data)"),
    ),
)
