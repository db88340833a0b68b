"""The ten tasks of the Medical Segmentation Decathlon.

Addresses and MD5 sums are those of MONAI's DecathlonDataset (monai/apps/datasets.py, 1.6.1); channels, labels and cases
those of each task's dataset.json. Sizes in bytes were published by people whose copy had that MD5; the others are as
stated, rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from torchio_seg.catalogue.entry import Entry
from torchio_seg.download.archive import Archive
from torchio_seg.download.meter import size_text

SITE = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
LICENCE = "CC BY-SA 4.0; cite Antonelli et al. 2022, doi 10.1038/s41467-022-30695-9"
TREE = """\
{folder}/
  dataset.json     channels, labels and the list of cases
  imagesTr/        {image}.nii.gz ...
  labelsTr/        the same names"""


@dataclass(frozen=True)
class _Task:
    """A task in the words of its dataset.json."""

    folder: str
    title: str
    image: str
    channels: str
    labels: str
    num_labelled: int
    num_others: int
    md5: str
    size: int | str

    @property
    def entry(self) -> Entry:
        """The task as the catalogue shows it."""
        number = int(self.folder[4:6])
        num_bytes = self.size if isinstance(self.size, int) else None
        return Entry(
            name=self.folder,
            title=f"{self.title} (Decathlon task {number})",
            tree=TREE.format(folder=self.folder, image=self.image),
            channels=self.channels,
            labels=self.labels,
            cases=f"{self.num_labelled} with labels, {self.num_others} without",
            licence=LICENCE,
            size=size_text(self.size) if isinstance(self.size, int) else self.size,
            how=(f"torchio-seg download decathlon:{self.folder[:6]}",),
            aliases=tuple(dict.fromkeys((self.folder[:6], str(number), f"{number:02d}", self.folder[7:]))),
            kind_of="decathlon",
            archive=Archive(f"{self.folder}.tar", f"{SITE}/{self.folder}.tar", self.md5, num_bytes),
        )


_TASKS = (
    _Task(
        folder="Task01_BrainTumour",
        title="Brain tumours in MRI",
        image="BRATS_001",
        channels="FLAIR, T1w, T1gd, T2w, in one 4-D file a case",
        labels="1 oedema, 2 non-enhancing tumour, 3 enhancing tumour",
        num_labelled=484,
        num_others=266,
        md5="240a19d752f0d9e9101544901065d872",
        size=7_608_266_240,
    ),
    _Task(
        folder="Task02_Heart",
        title="Left atrium in MRI",
        image="la_003",
        channels="MRI",
        labels="1 left atrium",
        num_labelled=20,
        num_others=10,
        md5="06ee59366e1e5124267b774dbd654057",
        size=455_721_472,
    ),
    _Task(
        folder="Task03_Liver",
        title="Liver and its tumours in CT",
        image="liver_0",
        channels="CT",
        labels="1 liver, 2 cancer",
        num_labelled=131,
        num_others=70,
        md5="a90ec6c4aa7f6a3d087205e23d4e6397",
        size=28_925_891_584,
    ),
    _Task(
        folder="Task04_Hippocampus",
        title="Hippocampus in MRI",
        image="hippocampus_001",
        channels="MRI",
        labels="1 anterior, 2 posterior",
        num_labelled=260,
        num_others=130,
        md5="9d24dba78a72977dbd1d2e110310f31b",
        size="about 28 MB",
    ),
    _Task(
        folder="Task05_Prostate",
        title="Zones of the prostate in MRI",
        image="prostate_00",
        channels="T2, ADC, in one 4-D file a case",
        labels="1 PZ, 2 TZ",
        num_labelled=32,
        num_others=16,
        md5="35138f08b1efaef89d7424d2bcc928db",
        size="about 240 MB",
    ),
    _Task(
        folder="Task06_Lung",
        title="Lung tumours in CT",
        image="lung_001",
        channels="CT",
        labels="1 cancer",
        num_labelled=63,
        num_others=32,
        md5="8afd997733c7fc0432f71255ba4e52dc",
        size=9_163_696_640,
    ),
    _Task(
        folder="Task07_Pancreas",
        title="Pancreas and its tumours in CT",
        image="pancreas_001",
        channels="CT",
        labels="1 pancreas, 2 cancer",
        num_labelled=281,
        num_others=139,
        md5="4f7080cfca169fa8066d17ce6eb061e4",
        size=12_289_971_712,
    ),
    _Task(
        folder="Task08_HepaticVessel",
        title="Vessels and tumours of the liver in CT",
        image="hepaticvessel_001",
        channels="CT",
        labels="1 vessel, 2 tumour",
        num_labelled=303,
        num_others=140,
        md5="641d79e80ec66453921d997fbf12a29c",
        size="said when the download starts",
    ),
    _Task(
        folder="Task09_Spleen",
        title="Spleen in CT",
        image="spleen_2",
        channels="CT",
        labels="1 spleen",
        num_labelled=41,
        num_others=20,
        md5="410d4a301da4e5b2f6f86ec3ddba524e",
        size="about 1.6 GB",
    ),
    _Task(
        folder="Task10_Colon",
        title="Colon cancer in CT",
        image="colon_001",
        channels="CT",
        labels="1 colon cancer primaries",
        num_labelled=126,
        num_others=64,
        md5="bad7a188931dc2f6acf72b08eb6202d0",
        size="about 6.2 GB",
    ),
)
TASKS = tuple(task.entry for task in _TASKS)

ANY_TASK = Entry(
    name="decathlon",
    title="Medical Segmentation Decathlon, any of its ten tasks, or data in its layout",
    tree=TREE.format(folder="YOUR_TASK", image="case_001"),
    channels="as dataset.json names them; several in one 4-D file a case",
    labels="as dataset.json names them",
    cases="those under 'training' in dataset.json",
    licence=LICENCE,
    size="28 MB (hippocampus) to 29 GB (liver)",
    how=(
        "torchio-seg download decathlon:Task04     (hippocampus, the smallest)",
        f"Tasks: {', '.join(task.name for task in TASKS)}",
    ),
    aliases=("msd",),
)
