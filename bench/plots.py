# SPDX-License-Identifier: Apache-2.0
"""The plots of docs/performance.md, as SVG."""


def load_curve(points, path):
    """Offered load against answered load and delay: (offered, answered, p50 ms, p99 ms) by responder."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "paddock", "font.size": 9})
    from matplotlib import pyplot
    figure, (answered, delay) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    for number, (name, values) in enumerate(points.items()):
        colour = f"C{number}"
        offered = [value[0] / 1000 for value in values]
        answered.plot(offered, [value[1] / 1000 for value in values], marker="o", color=colour, label=name)
        delay.plot(offered, [value[3] for value in values], marker="o", color=colour)
        delay.plot(offered, [value[2] for value in values], linestyle="--", color=colour)
    answered.set(xlabel="offered, 1,000 pings a second", ylabel="answered, 1,000 a second", xscale="log", ylim=0)
    delay.set(xlabel="offered, 1,000 pings a second", ylabel="round trip, ms (p99; dashed: p50)", xscale="log", yscale="log")
    answered.legend()
    for axes in (answered, delay):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write(sections, folder):
    """Draws what the sections have points for."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        if hasattr(section, "points"):
            load_curve(section.points, folder / "load.svg")
