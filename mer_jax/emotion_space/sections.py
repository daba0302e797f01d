"""Cards of a page: the map, runs laid over it, and trajectories, each with how to read it."""

import html
from collections.abc import Sequence

from mer_jax.emotion_space import figures_map, figures_overlay, prototypes
from mer_jax.emotion_space.figures_trajectory import moving
from mer_jax.emotion_space.mapping import Map
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.emotion_space.trajectories import TrajectoryGroup
from mer_jax.errors import InputError
from mer_jax.evaluation.report_page import Section


def map_sections(space: Map) -> list[Section]:
    """The map, and where each emotion rises on it. The same map gives the same sections."""
    return [
        Section(
            "map",
            "The emotion space",
            _lead(space),
            figure=figures_map.emotion_map(space),
            caption=_how_to_read(space),
            wide=True,
        ),
        Section(
            "rise",
            "Where each emotion rises",
            figure=figures_map.where_emotions_rise(space),
            caption=(
                "The stronger the colour, the stronger the emotion in the states observed there (their local "
                "average, every distinct state counted once; one scale for all panels). Lines: averages of one "
                f"and of two thirds of the highest intensity, {space.top:.2g}. The arrow is the emotion's way from "
                f"{space.rest_name} to its highest. White: nothing was observed."
            ),
            wide=True,
        ),
    ]


def overlay_sections(space: Map, overlays: Sequence[Overlay], seed: int = 0) -> list[Section]:
    """Predictions of every run on the map, a sample of errors, and mean errors by region.

    seed: of the sample. Raises InputError where an overlay has no rows or other emotions.
    """
    for overlay in overlays:
        _check(space, overlay)
    if not overlays:
        return []
    sample = len(figures_overlay.sampled_ids(space, overlays, seed, figures_overlay.ARROWS))
    return [
        Section(
            "predictions",
            "Predictions on the map",
            figure=figures_overlay.predictions_on_map(space, overlays),
            caption=(
                "Every panel is the same map, and zooming one zooms all. Colours are the strongest emotion in the "
                "TRUTH: where a colour leaves its land, the system errs; where all colours lie in one heap, it does "
                f"not tell these emotions apart. Intensities outside 0 to {space.top:.2g} are drawn at that limit."
            ),
            wide=True,
        ),
        Section(
            "errors",
            "From truth to prediction: a sample",
            figure=figures_overlay.sampled_errors(space, overlays, seed),
            caption=(
                f"{sample:,} of {len(overlays[0]):,} {space.rows}, drawn at random (seed {seed}) with as many of each "
                "strongest true emotion as there are, up to an equal share, and the same for every system: the "
                "arrows do not show how common an error is. Ring: truth; tip: prediction."
            ),
            wide=True,
        ),
        Section(
            "mean-errors",
            "From truth to prediction: the mean by region",
            figure=figures_overlay.mean_errors(space, overlays),
            caption=(
                f"All {space.rows} by the place of their truth: an arrow per cell of the map with "
                f"{figures_overlay.FEWEST} or more of them, from the mean true place to the mean predicted one, in "
                "the colour of the commonest strongest emotion; the wider, the more. Arrows that run to one point "
                "mean that the system says the same of all."
            ),
            wide=True,
        ),
    ]


def trajectory_sections(
    space: Map, groups: Sequence[TrajectoryGroup], together: bool = False
) -> list[Section]:
    """A card per dialogue, video, song or utterance. together: all its trajectories in one panel."""
    caption = (
        "The faint line is the whole way, numbers its points in time, coloured by their strongest emotion; the "
        "large symbol moves, with its tail behind it. Between two points the intensities change in equal steps, and "
        "each step is then put on the map. Below: the intensity of every emotion over time, in its colour."
    )
    return [
        Section(
            f"trajectory-{k + 1}",
            group.name,
            figure=moving(space, group, together),
            caption=f"{group.note} {caption}".strip(),
            wide=True,
        )
        for k, group in enumerate(groups)
    ]


def _check(space: Map, overlay: Overlay) -> None:
    if not len(overlay) or overlay.truth.shape[1] != len(space.emotions):
        raise InputError(
            f"overlay {overlay.name!r} has {len(overlay)} rows of {overlay.truth.shape[1]} emotions, the space has "
            f"{len(space.emotions)} ({', '.join(space.emotions)}); overlay at least one row of these emotions"
        )


def _lead(space: Map) -> str:
    rows, states = int(space.counts.sum()), len(space.counts)
    names = ", ".join(html.escape(name) for name in space.emotions)
    return (
        f"<p class='lead'>{rows:,} {html.escape(space.rows)} in {states:,} distinct states of {len(space.emotions)} "
        f"intensities ({names}; 0 to {space.top:.2g}), laid out in the plane so that like states lie together.</p>"
    )


def _how_to_read(space: Map) -> str:
    at_rest = f"where the paths begin is {space.rest_name}"
    mixed = ""
    if prototypes.mixtures(space):
        mixed = (
            "diamonds are two emotions at once (edge and filling in their colours; only pairs that occur); "
        )
    return (
        f"A point is a state, its area the number of {space.rows} that are in it, its colour their strongest emotion; "
        f"{at_rest}, and along a path one emotion alone rises, with a ring at each third; {mixed}the shaded land "
        "shows which emotion is strongest thereabouts. Near points are like states; long distances, the axes' "
        "directions and empty space have no meaning of their own."
    )
