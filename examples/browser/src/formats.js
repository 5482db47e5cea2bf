/** Files with a prediction: the same content as from mir_tf/inference/formats.py. */

import { listClasses } from "./instruments.js";
import { adapt, findIntervals } from "./post_processing.js";

const COLUMNS = ["path", "start", "end", "instrument", "group", "confidence", "probability"];

const rounded = (value, digits) => (value === null ? null : Number(value.toFixed(digits)));

/**
 * Returns the content of a file.
 *
 * @param {"json" | "csv" | "audacity"} format
 * @param {{name: string, seconds: number, columns: Float32Array[], confidences: (number | null)[]}} found
 * @param {object} model of the page
 * @param {Float32Array} thresholds [classes]
 */
export function encode(format, found, model, thresholds) {
  return { json: toJson, csv: toCsv, audacity: toAudacity }[format](found, model, thresholds);
}

/** Returns the named classes with their intervals, as Prediction.summary. */
function summarize({ name, seconds, columns, confidences }, model, thresholds) {
  const postProcessing = adapt(model.post_processing, model.thresholds, thresholds);
  const named = listClasses(model, columns, thresholds, confidences).filter(({ isNamed }) => isNamed);
  const intervalsOf = (index) =>
    findIntervals(columns[index], thresholds[index], postProcessing, index, model.frame_rate).map(([start, end]) => ({
      start: start / model.frame_rate,
      end: rounded(Math.min(end / model.frame_rate, seconds), 6), // the last frame may be covered in part
      probability: rounded(columns[index].subarray(start, end).reduce((sum, value) => sum + value, 0) / (end - start), 5),
    }));
  const instruments = named.map(({ index, name: label, isDetected, confidence, time, share }) => ({
    class: label,
    group: isDetected ? "detected" : "perhaps",
    confidence: rounded(confidence, 5),
    playing_time: rounded(time, 1),
    share: rounded(share, 4),
    intervals: intervalsOf(index),
  }));
  const dominant = named[0]?.isDetected ? named[0].name : null;
  return { summary: { path: name, seconds: rounded(seconds, 6), dominant, instruments }, postProcessing };
}

function toJson(found, model, thresholds) {
  const { summary, postProcessing } = summarize(found, model, thresholds);
  const { columns, confidences } = found;
  const content = {
    ...summary,
    model: model.description,
    frame_rate: model.frame_rate,
    classes: model.classes,
    confidences: confidences.map((confidence) => rounded(confidence, 5)),
    cut: model.cut,
    thresholds: Array.from(thresholds, (threshold) => rounded(threshold, 6)),
    post_processing: postProcessing,
    probabilities: Array.from(columns[0], (_, frame) => columns.map((column) => rounded(column[frame], 5))),
  };
  return `${JSON.stringify(content)}\n`;
}

/** Returns the rows with `COLUMNS`, ordered by start, then by name. */
function rowsOf(found, model, thresholds) {
  const { path, instruments } = summarize(found, model, thresholds).summary;
  const rows = instruments.flatMap(({ class: label, group, confidence, intervals }) =>
    intervals.map(({ start, end, probability }) => [path, start, end, label, group, confidence, probability]));
  return rows.sort((one, other) => one[1] - other[1] || (one[3] < other[3] ? -1 : 1));
}

function toCsv(...all) {
  // A spreadsheet would run a text that begins like a formula.
  const escaped = (value) => (typeof value === "string" && /^'*[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value ?? "");
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const cell = (value) => quoted(escaped(value));
  return [COLUMNS, ...rowsOf(...all)].map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function toAudacity(...all) {
  return rowsOf(...all).map(([, start, end, label, group]) =>
    `${start.toFixed(6)}\t${end.toFixed(6)}\t${label}${group === "detected" ? "" : " ?"}\n`).join("");
}
