"""One look for every figure: a light template, and one colour per emotion everywhere.

The colours are Okabe and Ito's and Paul Tol's muted set, which stay apart in the common
kinds of colour blindness; the model is always ink blue, a floor always grey.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

MODEL, SECOND, ACCENT = "#1f4e79", "#d55e00", "#6b9ac4"
FLOOR, FAINT, INK, GRID = "#8a8f98", "#c9ced6", "#23272f", "#e8ebef"
FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
BLUES = [[0.0, "#f7f9fc"], [0.6, "#a9c6e3"], [1.0, "#2c659c"]]

_EMOTIONS = {
    "#d55e00": ("anger", "angry", "negative"),
    "#e0a100": ("joy", "happiness", "happy", "excited", "excitement", "amusement"),
    "#0072b2": ("sadness", "sad", "positive"),
    "#882255": ("fear", "fearful", "anxiety"),
    "#117733": ("disgust", "disgusted"),
    "#56b4e9": ("surprise", "surprised"),
    "#8a8f98": ("neutral",),
    "#999933": ("boredom", "bored"),
    "#aa4499": ("contempt", "frustration", "frustrated"),
    "#44aa99": ("calm", "relief"),
}
_SPARE = ("#0072b2", "#d55e00", "#117733", "#aa4499", "#e0a100", "#56b4e9", "#882255", "#44aa99", "#999933")

FLOOR_LABELS = {
    "majority": "Majority class",
    "prior": "Train frequencies",
    "mean": "Train mean",
    "median": "Train median",
    "linear": "Linear (all modalities)",
    "best_single_modality": "Linear (best single modality)",
    "tfidf": "TF-IDF + linear",
}
FLOOR_SYMBOLS = {
    "majority": "line-ns-open",
    "mean": "line-ns-open",
    "median": "x-thin-open",
    "prior": "x-thin-open",
    "linear": "diamond-open",
    "best_single_modality": "square-open",
    "tfidf": "triangle-up-open",
}
METRIC_LABELS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "roc_auc_micro": "ROC AUC, micro",
    "roc_auc_macro": "ROC AUC, macro",
    "average_precision_macro": "Average precision",
    "log_loss": "Log loss",
    "ece": "Calibration error",
    "mae": "MAE",
    "mse": "MSE",
    "pearson": "Pearson r",
    "ccc": "Concordance (CCC)",
}


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour per class: an emotion's own where it has one, else a spare one in order."""
    own = {emotion: colour for colour, emotions in _EMOTIONS.items() for emotion in emotions}
    chosen = {name: own.get(name.lower()) for name in names}
    spare = [c for c in _SPARE if c not in chosen.values()] or list(_SPARE)
    unnamed = [name for name, colour in chosen.items() if colour is None]
    filled = {name: spare[k % len(spare)] for k, name in enumerate(unnamed)}
    return {name: colour or filled[name] for name, colour in chosen.items()}


def _axis() -> dict[str, object]:
    return {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": FAINT,
        "ticklen": 4,
        "title": {"standoff": 10, "font": {"size": 13}},
        "automargin": True,
    }


TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": list(_SPARE),
        "margin": {"l": 64, "r": 20, "t": 12, "b": 52},
        "legend": {"font": {"size": 12}, "bgcolor": "rgba(255,255,255,0.85)", "title": {"text": ""}},
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "xaxis": _axis(),
        "yaxis": _axis(),
    }
)


def styled(figure: go.Figure, height: int = 400, **layout: object) -> go.Figure:
    """`figure` in the house look."""
    return figure.update_layout(template=TEMPLATE, height=height, **layout)


def floor_marks(floor: str) -> dict[str, object]:
    """How a floor is marked on a bar: white, so that it shows on any colour."""
    open_symbol = FLOOR_SYMBOLS.get(floor, "circle-open")
    symbol = "circle" if open_symbol.startswith(("line", "x-thin")) else open_symbol.removesuffix("-open")
    return {"symbol": symbol, "size": 11, "color": "white", "line": {"width": 1.8, "color": INK}}


def legend_below(y: float = -0.2) -> dict[str, object]:
    """A horizontal legend under the plot."""
    return {"orientation": "h", "yanchor": "top", "y": y, "x": 0, "xanchor": "left"}
