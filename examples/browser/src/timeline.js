import { colorOf } from "./colors.js";

const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600]; // seconds
const MAX_TICKS = 6;
const LAST_TICK = 0.92; // as a share of the length: the label of a later one would not fit

/** Formats seconds as m:ss. */
export function formatDuration(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * Draws a lane for every detected instrument, and a ruler.
 *
 * @param {HTMLElement} container
 * @param {object} prediction from `summarize`
 */
export function drawTimeline(container, prediction) {
  const rows = prediction.instruments.map((instrument) => {
    const row = element("div", "row");
    row.style.setProperty("--class-color", colorOf(prediction.classes.indexOf(instrument.class)));
    const share = instrument.share < 0.01 ? "< 1 %" : `${Math.round(100 * instrument.share)} %`;
    const time = element("span", "time", formatDuration(instrument.playing_time), element("small", "", share));
    row.append(element("span", "name", instrument.class), drawLane(instrument, prediction), time);
    return row;
  });
  container.replaceChildren(...rows, drawRuler(prediction.seconds));
}

function drawLane(instrument, prediction) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${prediction.seconds} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", instrument.intervals.map(({ start, end }) => `M${start} 0H${end}V1H${start}z`).join(""));
  svg.append(path);
  const lane = element("div", "lane", svg);
  lane.setAttribute("role", "img");
  lane.setAttribute("aria-label", `${instrument.class} plays ${formatDuration(instrument.playing_time)}`);
  return lane;
}

function drawRuler(seconds) {
  const step = TICKS.find((candidate) => seconds / candidate <= MAX_TICKS) ?? TICKS.at(-1);
  const ruler = element("div", "ruler");
  for (let time = 0; time <= LAST_TICK * seconds; time += step) {
    const tick = element("span", "tick", formatDuration(time));
    tick.style.left = `${(100 * time) / seconds}%`;
    ruler.append(tick);
  }
  return element("div", "row", element("span", "name"), ruler, element("span", "time"));
}

/** Creates an element with a class and children: texts and other elements. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}
