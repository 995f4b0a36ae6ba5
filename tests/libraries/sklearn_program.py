"""Estimators and measures of scikit-learn that take arrays of any library."""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"

import numpy as np
import sklearn
from comparing import Comparison
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, RobustScaler

import jitml
import jitml.numpy as jnp

OF_LABELS = (
    "accuracy_score zero_one_loss confusion_matrix hamming_loss multilabel_confusion_matrix "
    "balanced_accuracy_score"
)
OF_NUMBERS = (
    "mean_squared_error mean_absolute_error mean_squared_log_error max_error "
    "mean_tweedie_deviance mean_pinball_loss median_absolute_error d2_tweedie_score "
    "mean_absolute_percentage_error root_mean_squared_error"
)
OF_SCORES = (
    "roc_curve roc_auc_score precision_recall_curve brier_score_loss average_precision_score"
)
OF_PAIRS = (
    "euclidean_distances linear_kernel rbf_kernel polynomial_kernel sigmoid_kernel "
    "chi2_kernel additive_chi2_kernel paired_euclidean_distances"
)

jitml.config.update("jax_enable_x64", True)
sklearn.set_config(array_api_dispatch=True)
compare = Comparison(jnp.asarray)
generator = np.random.default_rng(0)
points = generator.uniform(0.1, 2.0, size=(20, 4))
labels = (points[:, 0] > 1).astype(int)
others = labels[::-1].copy()
scores, truth = generator.uniform(0.1, 0.9, 20), generator.uniform(0.1, 0.9, 20)

compare("RobustScaler", lambda x: RobustScaler().fit_transform(x), points)
compare("PCA", lambda x: abs(PCA(2, svd_solver="full").fit_transform(x)), points)
compare("LabelEncoder", lambda y: LabelEncoder().fit_transform(y), labels)
compare("split", lambda x, y: train_test_split(x, y, random_state=0), points, labels)
assert isinstance(RobustScaler().fit_transform(jnp.asarray(points)), jitml.Array)

for name in OF_LABELS.split():
    compare(name, getattr(metrics, name), labels, others)
for name in OF_NUMBERS.split():
    compare(name, getattr(metrics, name), truth, scores)
for name in OF_SCORES.split():
    compare(name, getattr(metrics, name), labels, scores)
for name in OF_PAIRS.split():
    compare(name, getattr(pairwise, name), points, points[::-1].copy())

compare.finish()
