"""Data sets of challenges: brain tumours (BraTS), abdominal organs (BTCV), organs of the thorax (LCTSC)."""

from __future__ import annotations

from torchio_seg.catalogue.decathlon import LICENCE, TASKS
from torchio_seg.catalogue.entry import Entry

SUB_REGIONS = "1 necrotic core, 2 oedema, 4 enhancing tumour until 2021; 3 enhancing tumour from 2023"

BRATS_CHALLENGE = Entry(
    name="brats-challenge",
    title="Brain tumours in MRI, as the BraTS challenges hand them out (2018 to 2023)",
    tree="""\
YOUR_FOLDER/
  BraTS2021_00000/       a folder a case; until 2021 with the files
    BraTS2021_00000_t1.nii.gz, _t1ce, _t2, _flair and _seg
  BraTS-GLI-00000-000/   from 2023 with the files
    BraTS-GLI-00000-000-t1n.nii.gz, -t1c, -t2w, -t2f and -seg""",
    channels="T1, T1 with contrast, T2, FLAIR, a file each",
    labels=SUB_REGIONS,
    cases="369 with labels in 2020, 1251 in 2021",
    licence="each year's terms of use, accepted when registering",
    size="13.2 GB zipped (2023, adult glioma)",
    how=(
        "2021: an account at synapse.org, then register and ask for access at synapse.org, project syn27046444",
        "2023: the same with project syn51156910 (adult glioma: BraTS-GLI)",
        "2018 to 2020: register at www.med.upenn.edu/cbica/brats2020 (or brats2018, brats2019)",
        "Unpack it: torchio-seg train --dataset brats --root YOUR_FOLDER",
        "Without an account: torchio-seg download brats, the Decathlon's copy of the challenges of 2016 and 2017",
    ),
    aliases=("brats2018", "brats2019", "brats2020", "brats2021", "brats2023", "brats-gli"),
    kind_of="brats",
)

BRATS = Entry(
    name="brats",
    title="Brain tumours in MRI: Decathlon task 1, or cases of a BraTS challenge",
    tree=f"{TASKS[0].tree}\nor\n{BRATS_CHALLENGE.tree}",
    channels="FLAIR, T1, T1 with contrast, T2",
    labels="trained: whole tumour, tumour core, enhancing tumour; read: the labels of either source",
    cases=f"task 1: {TASKS[0].cases}; challenges: {BRATS_CHALLENGE.cases}",
    licence=f"task 1: {LICENCE}; challenges: their terms of use",
    size=f"task 1: {TASKS[0].size}",
    how=("torchio-seg download brats     (task 1, no account needed)", *BRATS_CHALLENGE.how[:3]),
    archive=TASKS[0].archive,
)

BTCV = Entry(
    name="btcv",
    title="Thirteen abdominal organs in CT (Beyond the Cranial Vault)",
    tree="""\
btcv/
  dataset.json     {"training": [
                    {"image": "imagesTr/img0001.nii.gz",
                     "label": "labelsTr/label0001.nii.gz"}, ...]}
  imagesTr/        img0001.nii.gz ...
  labelsTr/        label0001.nii.gz ...""",
    channels="CT",
    labels=(
        "1 spleen, 2 right kidney, 3 left kidney, 4 gallbladder, 5 oesophagus, 6 liver, 7 stomach, 8 aorta, "
        "9 inferior vena cava, 10 portal and splenic veins, 11 pancreas, 12 right adrenal gland, 13 left adrenal gland"
    ),
    cases="30 with labels",
    licence="the terms of the challenge at Synapse, accepted when joining",
    size="not stated at its source",
    how=(
        "Make an account at synapse.org and join the challenge: www.synapse.org/Synapse:syn3193805",
        "There, under Files, Abdomen: RawData.zip",
        "Put what is in Training/img into data/btcv/imagesTr, what is in Training/label into data/btcv/labelsTr",
        "Put the dataset_0.json of the UNETR reference beside them, or a list of your own as above",
        "torchio-seg train --dataset btcv",
    ),
)

LCTSC = Entry(
    name="lctsc",
    title="Organs at risk in thoracic CT, as DICOM with RTSTRUCT (AAPM challenge of 2017)",
    tree="""\
DICOM/LCTSC-Train-S1-001/  a folder a patient, as handed out:
  .../                     the CT series, a file a slice
  .../1-1.dcm              the contours (RTSTRUCT)
lctsc/                     made from it by the import
  manifest.csv             a line a patient: image, mask, source
  import.json              labels and settings of the import""",
    channels="CT",
    labels="contours of both lungs (Lung_L, Lung_R), heart, oesophagus, spinal cord; those named in the import",
    cases="60 patients: 36 for training, 24 for testing",
    licence="CC BY 3.0; cite doi 10.7937/K9/TCIA.2017.3R3FVZ08",
    size="about 5 GB",
    how=(
        "Open www.cancerimagingarchive.net/collection/lctsc, a public collection of The Cancer Imaging Archive (TCIA)",
        "Fetch it with the NBIA Data Retriever, the archive's own program",
        "torchio-seg import rtstruct DICOM data/lctsc --roi Lung_R",
        "torchio-seg train --dataset lctsc",
    ),
    aliases=("rtstruct",),
)

CHALLENGES = (BRATS, BRATS_CHALLENGE, BTCV, LCTSC)
