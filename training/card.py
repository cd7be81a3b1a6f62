"""The model card of a bundle: its manifest as text."""

from shared.model.manifest import Manifest, Measurement

DATA = {
    "wisdm": "WISDM smartwatch accelerometer (Weiss 2019, doi:10.24432/C5HK59), CC BY 4.0",
    "selfback": "selfBACK wrist50 (Sani, Wiratunga, Massie, Cooper; Robert Gordon University), CC BY 4.0 as UCI states",
    "dsads": "Daily and Sports Activities (Altun, Barshan, Tuncel 2010; UCI 256), CC BY 4.0 as UCI states",
    "stress_predict": "Stress-Predict (Iqbal et al. 2022, doi:10.3390/s22218135), MIT",
    "e4": (
        "Wearable Device Dataset from Induced Stress and Structured Exercise Sessions 1.0.1 (Hongn et al., PhysioNet "
        "2025, doi:10.1038/s41597-025-04845-9), ODC-By 1.0"
    ),
    "uwash": "UWash, test set in the wild (Wang, Zhang, Wu et al., arXiv 2112.06657), MIT",
    "seglearn": "seglearn's watch data set (Burns et al. 2018, doi:10.1088/1361-6579/aacfd9), BSD 3-Clause",
    "physio": "Physical Therapy Exercises (Yurtman, Barshan 2014; UCI), CC BY 4.0 as UCI states",
    "umafall": "UMAFall (Casilari, Santoyo-Ramon, Cano-Garcia 2017), CC BY 4.0 as Figshare states",
    "berkeley_mhad": "Berkeley MHAD (Ofli, Chaudhry, Kurillo, Vidal, Bajcsy 2013), BSD 2-Clause",
    "harlab": "Biometrics/Activity Dataset (Har-Lab, Loyola Marymount University, 2022-23), MIT; unlabelled",
    "nurses": "Stress detection of nurses (Hosseini et al. 2022, doi:10.1038/s41597-022-01361-y), CC0 1.0; unlabelled",
}
"""Source and licence of each data set that a bundle may be trained on."""

_CARD = """# {name} {version}

Classifies 20 s of a smartwatch (accelerometer, heart rate, steps; any of the last two may be missing) as one of
{classes} (label set {label_set}).

- Network: {network}
- Input: features of version {feature_version}. Temperature {temperature:.3f}; below a confidence of
  {abstain_below:.3f} it says "unknown", and for `other`, where it has learnt that class. Made {created}.
  Licence: {licence}.
- Trained in {steps} steps, seed {seeds}. Classes are drawn alike often, `other` half as often again; wrists are turned
  and mirrored; heart rate and steps are masked at random; missing heart rate is imputed from a randomly chosen window,
  so that having one says nothing about the class.

## Trained on

{trained_on}

The people of the demo (examples/recordings) are not among them. Steps are emulated from the accelerometer
(training/pedometer.py): none of these data sets has a counter.

## Measured

{measured}

UAR is the unweighted average recall. `dataset_balanced_uar` averages each class's recall over the data sets that
hold it, then over the classes. Per person, only the classes that the person has count. `ece` is the expected
calibration error after the temperature, `ece_raw` before it. `answered` is the share of windows that reach the
threshold. In `unseen_people`, temperature and threshold of a fold were fitted on the other folds; the network and its
training were chosen on such folds, so the numbers are slightly optimistic. The demo's people decided nothing.
`unseen_DATASET` is the number for a device that is in no training set. `_har7` sums the classes to har7;
`uar_of_seven` is that of the most probable of the seven. `_smoothed` has a causal filter over a person's windows.
`_other` is about activities that are none of the classes: `auroc` of telling them from the classes, `named_active` the
share called walking, running, stairs or cycling (`confidently_active` at 0.8 or more), `_unseen` the kinds that the
network has not learnt.

## Limits

- Heart rate comes from data sets of cycling and sitting, measured at the wrist and often wrong on the bike; what it
  adds beyond these two was not measured and cannot be, with these data.
- Lying and sitting differ at the wrist by little but its angle; expect them to be confused.
- Cycling is exercise bikes only. Washing hands comes from one device, strength and flexibility from two and few people.
- `other` holds what some data sets call something else. Of kinds that were not learnt many are still named: see
  `_unseen`.
- The axes must be a watch's: x along the forearm, y across it, z out of the face. Which wrist, and which way round,
  does not matter.
- Healthy adults, scripted activities. Not a medical device.
"""


NETWORK = {
    "cnn": "the paper's CNN encoders (16 features per modality)",
    "gru": "the paper's GRU encoders (16 features per modality)",
    "multi_scale": "a multi-scale encoder of acceleration with gravity (64 features), CNN encoders of the others (16)",
}
PAPER = (
    'after Mallol-Ragolta et al., "Outer Product-Based Fusion of Smartwatch Sensor Data for Human Activity '
    'Recognition", Frontiers in Computer Science, 2022'
)


def make_card(manifest: Manifest, steps: int) -> str:
    """Render the card as Markdown."""
    trained_on = [
        f"- {DATA.get(dataset, dataset)}: {len(people)} people ({', '.join(people)})."
        for dataset, people in manifest.trained_on.items()
    ]
    return _CARD.format(
        name=manifest.name,
        version=manifest.version,
        classes=", ".join(manifest.classes),
        label_set=manifest.label_set,
        network=f"{NETWORK[manifest.encoder]}, fusion by {manifest.fusion.replace('_', ' ')}, {PAPER}.",
        feature_version=manifest.feature_version,
        temperature=manifest.temperature,
        abstain_below=manifest.abstain_below,
        created=manifest.created,
        licence=manifest.licence,
        steps=steps,
        seeds=", ".join(map(str, manifest.seeds)),
        trained_on="\n".join(trained_on),
        measured="\n\n".join(_table(name, measurement) for name, measurement in manifest.metrics.items()),
    )


def _table(name: str, measurement: Measurement) -> str:
    rows = [f"| {key} | {value:g} |" for key, value in measurement.values.items()]
    return "\n".join([f"**{name}**: {measurement.measured_on}.", "", "| | |", "|---|---|", *rows])
