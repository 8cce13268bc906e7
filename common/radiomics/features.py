"""The names of the 851 features in the order of every feature array, as PyRadiomics 3.0.1 gives them."""

from __future__ import annotations

SHAPE = tuple(
    [
        "Elongation",
        "Flatness",
        "LeastAxisLength",
        "MajorAxisLength",
        "Maximum2DDiameterColumn",
        "Maximum2DDiameterRow",
        "Maximum2DDiameterSlice",
        "Maximum3DDiameter",
        "MeshVolume",
        "MinorAxisLength",
        "Sphericity",
        "SurfaceArea",
        "SurfaceVolumeRatio",
        "VoxelVolume",
    ]
)
"""Of the mask alone."""

CLASSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "firstorder",
        tuple(
            [
                "10Percentile",
                "90Percentile",
                "Energy",
                "Entropy",
                "InterquartileRange",
                "Kurtosis",
                "Maximum",
                "MeanAbsoluteDeviation",
                "Mean",
                "Median",
                "Minimum",
                "Range",
                "RobustMeanAbsoluteDeviation",
                "RootMeanSquared",
                "Skewness",
                "TotalEnergy",
                "Uniformity",
                "Variance",
            ]
        ),
    ),
    (
        "glcm",
        tuple(
            [
                "Autocorrelation",
                "ClusterProminence",
                "ClusterShade",
                "ClusterTendency",
                "Contrast",
                "Correlation",
                "DifferenceAverage",
                "DifferenceEntropy",
                "DifferenceVariance",
                "Id",
                "Idm",
                "Idmn",
                "Idn",
                "Imc1",
                "Imc2",
                "InverseVariance",
                "JointAverage",
                "JointEnergy",
                "JointEntropy",
                "MCC",
                "MaximumProbability",
                "SumAverage",
                "SumEntropy",
                "SumSquares",
            ]
        ),
    ),
    (
        "gldm",
        tuple(
            [
                "DependenceEntropy",
                "DependenceNonUniformity",
                "DependenceNonUniformityNormalized",
                "DependenceVariance",
                "GrayLevelNonUniformity",
                "GrayLevelVariance",
                "HighGrayLevelEmphasis",
                "LargeDependenceEmphasis",
                "LargeDependenceHighGrayLevelEmphasis",
                "LargeDependenceLowGrayLevelEmphasis",
                "LowGrayLevelEmphasis",
                "SmallDependenceEmphasis",
                "SmallDependenceHighGrayLevelEmphasis",
                "SmallDependenceLowGrayLevelEmphasis",
            ]
        ),
    ),
    (
        "glrlm",
        tuple(
            [
                "GrayLevelNonUniformity",
                "GrayLevelNonUniformityNormalized",
                "GrayLevelVariance",
                "HighGrayLevelRunEmphasis",
                "LongRunEmphasis",
                "LongRunHighGrayLevelEmphasis",
                "LongRunLowGrayLevelEmphasis",
                "LowGrayLevelRunEmphasis",
                "RunEntropy",
                "RunLengthNonUniformity",
                "RunLengthNonUniformityNormalized",
                "RunPercentage",
                "RunVariance",
                "ShortRunEmphasis",
                "ShortRunHighGrayLevelEmphasis",
                "ShortRunLowGrayLevelEmphasis",
            ]
        ),
    ),
    (
        "glszm",
        tuple(
            [
                "GrayLevelNonUniformity",
                "GrayLevelNonUniformityNormalized",
                "GrayLevelVariance",
                "HighGrayLevelZoneEmphasis",
                "LargeAreaEmphasis",
                "LargeAreaHighGrayLevelEmphasis",
                "LargeAreaLowGrayLevelEmphasis",
                "LowGrayLevelZoneEmphasis",
                "SizeZoneNonUniformity",
                "SizeZoneNonUniformityNormalized",
                "SmallAreaEmphasis",
                "SmallAreaHighGrayLevelEmphasis",
                "SmallAreaLowGrayLevelEmphasis",
                "ZoneEntropy",
                "ZonePercentage",
                "ZoneVariance",
            ]
        ),
    ),
    (
        "ngtdm",
        tuple(["Busyness", "Coarseness", "Complexity", "Contrast", "Strength"]),
    ),
)
"""Feature classes of every image: first order, and five kinds of texture matrices."""

IMAGES = (
    "original",
    *(f"wavelet-{bands}" for bands in ["LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL"]),
)
"""The image itself and its wavelet decompositions: low or high pass along x, y and z."""

FEATURES: tuple[str, ...] = (
    *(f"original_shape_{name}" for name in SHAPE),
    *(f"{image}_{kind}_{name}" for image in IMAGES for kind, names in CLASSES for name in names),
)
"""14 shape, 18 first order, 75 texture and 744 wavelet features."""
