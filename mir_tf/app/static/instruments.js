/** Which instruments a recording has, in two groups: the same computation as in Prediction.all_classes. */

import { playingTime } from "./post_processing.js";

/**
 * Returns all classes: detected ones, longest playing time first; then those that perhaps play, most confident first; then
 * those that never reach their threshold.
 *
 * @param {{classes: string[], cut: number | null, frame_rate: number}} model
 * @param {Float32Array[]} columns probabilities of each class [frames]
 * @param {Float32Array} thresholds [classes]
 * @param {(number | null)[]} confidences of each class that it plays at all; null without a confidence model
 */
export function listClasses(model, columns, thresholds, confidences) {
  const found = model.classes.map((name, index) => {
    const time = playingTime(columns[index], thresholds[index], model.frame_rate);
    const confidence = confidences[index];
    const isNamed = time > 0;
    const isDetected = isNamed && !(confidence !== null && confidence < model.cut);
    return { index, name, confidence, time, share: time * model.frame_rate / columns[index].length, isNamed, isDetected };
  });
  const size = ({ isDetected, time, confidence }) => (isDetected ? time : confidence ?? 0);
  return found.sort((one, other) =>
    other.isDetected - one.isDetected || other.isNamed - one.isNamed || size(other) - size(one));
}

/** Returns what plays longest, in words. */
export function dominantText(instruments) {
  const [first] = instruments.filter(({ isNamed }) => isNamed);
  if (!first) return "No instrument detected";
  return first.isDetected ? first.name : `Unclear, perhaps ${first.name}`;
}

/** Returns a confidence in percent, never as 0 or 100; empty without one. */
export const percentSure = (confidence) =>
  confidence === null ? "" : `${Math.min(Math.max(Math.round(100 * confidence), 1), 99)} %`;
