/** Drawings on canvases: sharp at every pixel density, in colours that are visible on light and on dark. */

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600]; // seconds
const TICK_WIDTH = 90; // minimum distance in CSS pixels
const MIN_CONTRAST = 3; // for graphics, WCAG 2.2, 1.4.11

/** Formats seconds as m:ss, or as m:ss.s. */
export function formatTime(seconds, digits = 0) {
  const unit = 10 ** digits;
  const units = Math.round(seconds * unit);
  const rest = (units % (60 * unit)) / unit;
  return `${Math.floor(units / (60 * unit))}:${rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
}

const channels = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));

function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Returns the colour nearest to `color` (#rrggbb), mixed with white or black, that is visible on lanes and page. */
export function visible(color, isDark) {
  const behind = luminance(channels(isDark ? "#222830" : "#eef1f5")); // --lane
  const target = isDark ? 255 : 0;
  for (let share = 0; ; share += 0.04) {
    const mixed = channels(color).map((value) => Math.round(value + (target - value) * share));
    const [low, high] = [behind, luminance(mixed)].sort((one, other) => one - other);
    if ((high + 0.05) / (low + 0.05) >= MIN_CONTRAST) return `rgb(${mixed.join(" ")})`;
  }
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
 * Draws a lane: probability as a curve, intervals as blocks, the threshold as a dashed line.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} probabilities [frames]
 * @param {number[][]} intervals see `findIntervals`
 * @param {number[]} span first and last visible frame, as fractions
 * @param {number} threshold
 * @param {string} color
 * @param {string} ink of the threshold
 */
export function drawLane(canvas, probabilities, intervals, span, threshold, color, ink) {
  const context = prepare(canvas);
  if (!context) return;
  const { width, height } = canvas;
  const foot = Math.round(5 * devicePixelRatio); // height of the blocks
  const room = height - foot;
  const y = (probability) => room * (1 - 0.94 * probability);
  context.fillStyle = color;
  context.globalAlpha = 0.16;
  for (const [start, end] of intervals) block(context, start, end, span, 0, room);
  context.globalAlpha = 1;
  for (const [start, end] of intervals) block(context, start, end, span, room, foot);
  context.beginPath();
  context.moveTo(0, room);
  for (let column = 0; column < width; column += 1) {
    context.lineTo(column + 0.5, y(greatest(probabilities, span, column, width)));
  }
  context.lineTo(width, room);
  context.globalAlpha = 0.6;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  context.lineWidth = devicePixelRatio;
  context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  context.beginPath();
  context.moveTo(0, y(threshold));
  context.lineTo(width, y(threshold));
  context.stroke();
}

function block(context, start, end, span, top, height) {
  const scale = context.canvas.width / (span[1] - span[0]);
  context.fillRect((start - span[0]) * scale, top, Math.max(devicePixelRatio, (end - start) * scale), height);
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
