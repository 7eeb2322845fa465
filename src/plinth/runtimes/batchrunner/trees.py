"""Convert scikit-learn's histogram gradient boosting to ONNX, with categories and missing values.

skl2onnx 1.20 reads a split over categories as one over numbers, so it gets this converter instead.
Runs in the model's environment, beside skl2onnx. Source of the layout of the trees:
scikit-learn's `_hist_gradient_boosting/predictor.py` and `_predictor.pyx`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

_DOMAIN = "ai.onnx.ml"
# How the sums of the leaves become an answer, by the class of scikit-learn's link.
_LINKS = {
    "IdentityLink": "",
    "LogLink": "Exp",
    "LogitLink": "Sigmoid",
    "MultinomialLogit": "Softmax",
}
_BITS = 32
# A column of the trees -> category -> rank.
Ranks = dict[int, dict[float, int]]


class NotConvertible(ValueError):
    """The model has something that this converter does not know; the message says what."""


def register() -> None:
    """Let skl2onnx convert both kinds of these models by this module."""
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "raw_scores": [False]}
    update_registered_converter(
        HistGradientBoostingClassifier,
        "PlinthHistGradientBoostingClassifier",
        _classifier_shapes,
        _convert,
        options={**options, "output_class_labels": [False, True]},
    )
    update_registered_converter(
        HistGradientBoostingRegressor,
        "PlinthHistGradientBoostingRegressor",
        _regressor_shapes,
        _convert,
    )


def _classifier_shapes(operator: Any) -> None:
    classes = len(operator.raw_operator.classes_)
    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = FloatTensorType([None, classes])


def _regressor_shapes(operator: Any) -> None:
    operator.outputs[0].type = FloatTensorType([None, 1])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    link = _LINKS.get(type(model._loss.link).__name__)
    if link is None:
        raise NotConvertible(f"the link {type(model._loss.link).__name__} is not known")
    names = [variable.full_name for variable in operator.inputs]
    matrix = names[0]
    if len(names) > 1:
        matrix = scope.get_unique_variable_name("matrix")
        container.add_node("Concat", names, matrix, name=_new(scope, "Concat"), axis=1)
    ranks = _ranks(model)
    if ranks:
        matrix = _ranked(scope, container, matrix, ranks, _places(model))
    scores = scope.get_unique_variable_name("scores")
    container.add_node(
        "TreeEnsembleRegressor",
        [matrix],
        scores,
        op_domain=_DOMAIN,
        op_version=1,
        name=_new(scope, "Trees"),
        **_attributes(model, ranks),
    )
    answer = scores
    if link:
        answer = scope.get_unique_variable_name("linked")
        axis = {"axis": 1} if link == "Softmax" else {}
        container.add_node(link, [scores], answer, name=_new(scope, link), **axis)
    if hasattr(model, "classes_"):
        _classes(scope, operator, container, answer)
    else:
        container.add_node(
            "Identity", [answer], operator.outputs[0].full_name, name=_new(scope, "Identity")
        )


def _classes(scope: Any, operator: Any, container: Any, answer: str) -> None:
    """Add the probability of every class, and the likeliest class."""
    model, probabilities = operator.raw_operator, operator.outputs[1].full_name
    if model.n_trees_per_iteration_ == 1:
        one = scope.get_unique_variable_name("one")
        rest = scope.get_unique_variable_name("rest")
        container.add_initializer(one, TensorProto.FLOAT, [1], [1.0])
        container.add_node("Sub", [one, answer], rest, name=_new(scope, "Sub"))
        container.add_node(
            "Concat", [rest, answer], probabilities, name=_new(scope, "Concat"), axis=1
        )
    else:
        container.add_node("Identity", [answer], probabilities, name=_new(scope, "Identity"))
    labels = np.asarray(model.classes_)
    if labels.dtype.kind not in "iub":
        raise NotConvertible(f"classes of type {labels.dtype} are not known")
    known = scope.get_unique_variable_name("labels")
    best = scope.get_unique_variable_name("best")
    numbers = [int(each) for each in labels]
    container.add_initializer(known, TensorProto.INT64, [len(labels)], numbers)
    container.add_node(
        "ArgMax", [probabilities], best, name=_new(scope, "ArgMax"), axis=1, keepdims=0
    )
    container.add_node(
        "Gather", [known, best], operator.outputs[0].full_name, name=_new(scope, "Gather")
    )


def _attributes(model: Any, ranks: Ranks) -> dict[str, Any]:
    """Return all trees as the attributes of one TreeEnsembleRegressor."""
    nodes: dict[str, list[Any]] = {name: [] for name in ("tree", "id", "feature", "value", "mode")}
    nodes |= {"true": [], "false": [], "missing": []}
    leaves: dict[str, list[Any]] = {"tree": [], "id": [], "target": [], "weight": []}
    number = 0
    for trees in model._predictors:
        for target, tree in enumerate(trees):
            for node in _nodes(tree, ranks):
                if node["mode"] == "LEAF":
                    leaves["tree"].append(number)
                    leaves["id"].append(node["id"])
                    leaves["target"].append(target)
                    leaves["weight"].append(node["weight"])
                nodes["tree"].append(number)
                for name in ("id", "feature", "value", "mode", "true", "false", "missing"):
                    nodes[name].append(node[name])
            number += 1
    base = np.ravel(model._baseline_prediction)
    return {
        "n_targets": int(model.n_trees_per_iteration_),
        "base_values": [float(each) for each in base],
        "nodes_treeids": nodes["tree"],
        "nodes_nodeids": nodes["id"],
        "nodes_featureids": nodes["feature"],
        "nodes_values": nodes["value"],
        "nodes_modes": nodes["mode"],
        "nodes_truenodeids": nodes["true"],
        "nodes_falsenodeids": nodes["false"],
        "nodes_missing_value_tracks_true": nodes["missing"],
        "target_treeids": leaves["tree"],
        "target_nodeids": leaves["id"],
        "target_ids": leaves["target"],
        "target_weights": leaves["weight"],
    }


def _nodes(tree: Any, ranks: Ranks) -> Iterator[dict[str, Any]]:
    """Yield the nodes of one tree; a split over categories is a chain of splits over ranks."""
    following = len(tree.nodes)
    for number, node in enumerate(tree.nodes):
        if node["is_leaf"]:
            yield _node(number, mode="LEAF", weight=float(node["value"]))
            continue
        left, right = int(node["left"]), int(node["right"])
        feature, missing = int(node["feature_idx"]), int(node["missing_go_to_left"])
        if not node["is_categorical"]:
            # Not the next lower number of single precision: a threshold may be a value of the data,
            # and both are then rounded alike, so that the value stays on its side.
            value = float(node["num_threshold"])
            yield _node(number, left, right, feature=feature, missing=missing, value=value)
            continue
        goes_left = _goes_left(tree, node, ranks[feature])
        ends = np.flatnonzero(goes_left[1:] != goes_left[:-1])
        own = number
        for end in ends:
            # ONNX Runtime lets several nodes share the branch of "yes", never that of "no".
            side = left if goes_left[end] else right
            rest = following if end != ends[-1] else (right if goes_left[end] else left)
            caught = int((side == left) == bool(missing))
            yield _node(own, side, rest, feature=feature, missing=caught, value=float(end) + 0.5)
            own = following
            following += end != ends[-1]
        if not len(ends):
            raise NotConvertible("a split that every category passes the same way")


def _goes_left(tree: Any, node: Any, rank: dict[float, int]) -> Any:
    """Return for every rank whether it goes left."""
    bits = tree.raw_left_cat_bitsets[node["bitset_idx"]]
    flags = np.zeros(len(rank), dtype=bool)
    for code, place in enumerate(rank.values()):
        flags[place] = (int(bits[code // _BITS]) >> (code % _BITS)) & 1
    return flags


def _ranks(model: Any) -> Ranks:
    """Return for each column of categories (which stand in front): category -> rank, by code.

    Categories that mostly go the same way get ranks side by side, so that a split has few ends.
    """
    chosen = _categorical(model)
    if not chosen:
        return {}
    encoder = model._preprocessor.named_transformers_["encoder"]
    found: Ranks = {}
    for feature, values in enumerate(encoder.categories_):
        if np.asarray(values).dtype.kind not in "iuf":
            raise NotConvertible("categories that are texts; encode them as numbers before")
        known = [float(value) for value in values if not np.isnan(float(value))]
        splits = [
            [(int(bits[code // _BITS]) >> (code % _BITS)) & 1 for code in range(len(known))]
            for tree, node in _splits(model, feature)
            for bits in (tree.raw_left_cat_bitsets[node["bitset_idx"]],)
        ]
        order = _order(np.array(splits, dtype=float)) if splits else range(len(known))
        places = {int(code): place for place, code in enumerate(order)}
        found[feature] = {value: places[code] for code, value in enumerate(known)}
    return found


def _order(splits: Any) -> Any:
    """Return the codes, those beside each other that most splits keep together."""
    signs = 2 * splits - 1
    _, _, axes = np.linalg.svd(signs - signs.mean(axis=1, keepdims=True), full_matrices=False)
    return np.argsort(axes[0], kind="stable")


def _splits(model: Any, feature: int) -> Iterator[tuple[Any, Any]]:
    for trees in model._predictors:
        for tree in trees:
            for node in tree.nodes:
                is_split = node["is_categorical"] and not node["is_leaf"]
                if is_split and node["feature_idx"] == feature:
                    yield tree, node


def _ranked(scope: Any, container: Any, matrix: str, ranks: Ranks, places: list[int]) -> str:
    """Put the categories' columns in front, as ranks; what training never saw is missing."""
    parts = []
    for feature, rank in ranks.items():
        column = _gathered(scope, container, matrix, [places[feature]])
        coded = scope.get_unique_variable_name("ranks")
        container.add_node(
            "LabelEncoder",
            [column],
            coded,
            op_domain=_DOMAIN,
            op_version=2,
            name=_new(scope, "Ranks"),
            keys_floats=list(rank),
            values_floats=[float(each) for each in rank.values()],
            default_float=float("nan"),
        )
        parts.append(coded)
    if len(places) > len(ranks):
        parts.append(_gathered(scope, container, matrix, places[len(ranks) :]))
    joined = scope.get_unique_variable_name("ranked")
    container.add_node("Concat", parts, joined, name=_new(scope, "Concat"), axis=1)
    return str(joined)


def _gathered(scope: Any, container: Any, matrix: str, places: list[int]) -> str:
    chosen = scope.get_unique_variable_name("places")
    column = scope.get_unique_variable_name("columns")
    container.add_initializer(chosen, TensorProto.INT64, [len(places)], places)
    container.add_node("Gather", [matrix, chosen], column, name=_new(scope, "Gather"), axis=1)
    return str(column)


def _categorical(model: Any) -> list[int]:
    flags = getattr(model, "is_categorical_", None)
    return [] if flags is None else [int(place) for place in np.flatnonzero(flags)]


def _places(model: Any) -> list[int]:
    """Return where the trees' columns stand in the input: the model puts categories in front."""
    chosen = _categorical(model)
    return [*chosen, *(place for place in range(model.n_features_in_) if place not in chosen)]


def _node(number: int, true: int = 0, false: int = 0, **given: Any) -> dict[str, Any]:
    empty = {"feature": 0, "value": 0.0, "missing": 0, "weight": 0.0, "mode": "BRANCH_LEQ"}
    return {**empty, "id": number, "true": true, "false": false, **given}


def _new(scope: Any, name: str) -> str:
    found: str = scope.get_unique_operator_name(f"Plinth{name}")
    return found
