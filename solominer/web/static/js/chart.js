// A uPlot chart in the page's colours, with its sentence. A canvas says nothing to who cannot see it.
import { html, useEffect, useRef } from "./core.js";
import { clock, hourMinute, shortDate } from "./format.js";

const HEIGHT = 240;
const NARROW = 480;
const DAY_SECS = 86400;

// The colour that a custom property stands for in the theme that is shown.
function colour(element, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const faint = (rgb, alpha) => rgb.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

const isMidnight = (at) => hourMinute(at) === "00:00";

const times = (plot, splits, axis, space, step) =>
  splits.map((at) => (step < 60 ? clock(at) : step >= DAY_SECS || isMidnight(at) ? shortDate(at) : hourMinute(at)));

const LEAST_SPAN_SECS = 60;

// The range of the time axis: all of `secs`, or all points; inside it what was zoomed in to.
function reach(ats, secs) {
  const [first, last] = [ats[0], ats.at(-1)];
  const from = secs ? Math.min(first, last - secs) : Math.min(first, last - LEAST_SPAN_SECS);
  return (plot, low, high) => (first === last || (low === first && high === last) ? [from, last] : [low, high]);
}

function options(element, { series, bands = [], scale, values, label }, height, range) {
  const palette = { line: colour(element, "--accent"), quiet: colour(element, "--muted"), text: colour(element, "--text"), grid: colour(element, "--line") };
  const font = `12px ${getComputedStyle(element).fontFamily}`;
  const named = element.clientWidth > NARROW ? { label, labelFont: font, labelSize: 20 } : {};
  const axis = { stroke: palette.quiet, font, grid: { stroke: palette.grid, width: 1 }, ticks: { show: false } };
  return {
    width: element.clientWidth,
    height,
    padding: [8, 8, 0, 0],
    cursor: { drag: { x: true, y: false }, points: { size: 7 } },
    legend: { show: false },
    scales: { x: { range }, y: scale },
    axes: [
      { ...axis, values: times, space: 70, size: 28 },
      { ...axis, values: (plot, splits) => splits.map((each) => (each === null ? "" : values(each))), size: 76, space: 40, ...named },
    ],
    series: [{}, ...series(palette, faint)],
    bands: bands.map((band) => ({ ...band, fill: faint(palette.line, 0.16) })),
  };
}

// `make` has series(palette, faint), bands, scale, values (of the axis) and label; `data` is uPlot's, x in Unix seconds.
// It reaches `secs` back from its last point, or over all points.
export function Chart({ make, data, sentence, secs = null, height = HEIGHT }) {
  const element = useRef(null);
  const plot = useRef(null);

  useEffect(() => {
    const place = element.current;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new globalThis.uPlot(options(place, make, height, reach(data[0], secs)), data, place);
    };
    draw();
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const sizes = new ResizeObserver(() => {
      if (place.clientWidth !== plot.current.width) plot.current.setSize({ width: place.clientWidth, height });
    });
    sizes.observe(place);
    return () => {
      themes.disconnect();
      sizes.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [make, data, height]);

  return html`<figure class="chart">
    <div ref=${element} role="img" aria-label=${sentence}></div>
    <figcaption>${sentence}</figcaption>
  </figure>`;
}
