/** Drawings on canvases, sharp at every pixel density. */

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600]; // seconds
const TICK_WIDTH = 90; // minimum distance in CSS pixels
const STRONG = 0.9; // opacity where the instrument plays
const PALE = 0.3; // opacity below the threshold

/** Formats seconds as m:ss, or as m:ss.s. */
export function formatTime(seconds, digits = 0) {
  const unit = 10 ** digits;
  const units = Math.round(seconds * unit);
  const rest = (units % (60 * unit)) / unit;
  return `${Math.floor(units / (60 * unit))}:${rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}

/** Resizes a canvas to its pixels on the screen and clears it; returns its context, or null while it is hidden. */
function prepare(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return null;
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  return canvas.getContext("2d");
}

/** Returns the greatest of the `values` in one of the `columns` of pixels for the span. */
function greatest(values, [start, end], column, columns) {
  const each = (end - start) / columns;
  const first = Math.floor(start + column * each);
  const after = Math.max(first + 1, Math.ceil(start + (column + 1) * each));
  let found = 0;
  for (let index = first; index < Math.min(after, values.length); index += 1) found = Math.max(found, values[index]);
  return found;
}

/**
 * Computes the waveform for a canvas: a height for each column of pixels, 1 for the loudest.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} peaks
 * @param {number[]} span first and last visible peak, as fractions
 */
export function waveform(canvas, peaks, span) {
  prepare(canvas);
  const loudest = peaks.reduce((one, other) => Math.max(one, other), 0.01);
  return Float32Array.from({ length: canvas.width }, (_, column) =>
    greatest(peaks, span, column, canvas.width) / loudest);
}

/**
 * Draws the waveform, with the part that has been played in another colour.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} heights see `waveform`
 * @param {string[]} colors of the parts not yet played and played
 * @param {number} position played share of the width
 */
export function drawWaveform(canvas, heights, colors, position) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  for (let column = 0; column < width; column += 1) {
    const size = Math.max(1, 0.92 * height * heights[column]);
    context.fillStyle = colors[column < position * width ? 1 : 0];
    context.fillRect(column, (height - size) / 2, 1, size);
  }
}

/**
 * Draws a lane: the probability as height, strong where the instrument plays and pale elsewhere. A strip at the foot shows
 * the intervals, with the probability as shade.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} probabilities [frames]
 * @param {number[][]} intervals see `findIntervals`
 * @param {number[]} span first and last visible frame, as fractions
 * @param {string} color
 */
export function drawLane(canvas, probabilities, intervals, span, color) {
  const context = prepare(canvas);
  if (!context) return;
  const { width, height } = canvas;
  const foot = Math.round(4 * devicePixelRatio); // height of the strip
  const room = height - foot;
  context.fillStyle = color;
  let next = 0;
  for (let column = 0; column < width; column += 1) {
    const frame = span[0] + ((column + 0.5) / width) * (span[1] - span[0]);
    while (next < intervals.length && intervals[next][1] <= frame) next += 1;
    const plays = next < intervals.length && intervals[next][0] <= frame;
    const probability = greatest(probabilities, span, column, width);
    context.globalAlpha = plays ? STRONG : PALE;
    context.fillRect(column, room * (1 - probability), 1, room * probability);
    if (plays) {
      context.globalAlpha = 0.15 + 0.85 * probability;
      context.fillRect(column, room, 1, foot);
    }
  }
}

/** Draws the threshold as a dashed line over a lane. */
export function drawThreshold(canvas, threshold, ink) {
  const context = canvas.getContext("2d");
  const y = (canvas.height - Math.round(4 * devicePixelRatio)) * (1 - threshold);
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  context.lineWidth = 1.5 * devicePixelRatio;
  context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(canvas.width, y);
  context.stroke();
}

/**
 * Draws ticks with their times under the lanes.
 *
 * @param {HTMLElement} ruler
 * @param {number[]} span first and last visible second
 */
export function drawRuler(ruler, [start, end]) {
  const most = Math.max(2, ruler.clientWidth / TICK_WIDTH);
  const step = TICKS.find((candidate) => (end - start) / candidate <= most) ?? TICKS.at(-1);
  const ticks = [];
  for (let count = Math.ceil(start / step); count * step < end; count += 1) {
    const share = (count * step - start) / (end - start);
    if ((1 - share) * ruler.clientWidth < 36) break; // no room for its text
    const tick = document.createElement("span");
    tick.className = "tick";
    tick.textContent = formatTime(count * step, step < 1 ? 1 : 0);
    tick.style.left = `${100 * share}%`;
    ticks.push(tick);
  }
  ruler.replaceChildren(...ticks);
}
