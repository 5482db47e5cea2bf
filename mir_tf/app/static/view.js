/** The visible part of a recording, in seconds. */

const MIN_SPAN = 2; // seconds in the width at the greatest zoom

export class View {
  constructor(seconds) {
    this.seconds = seconds;
    this.start = 0;
    this.span = seconds;
  }

  get end() {
    return this.start + this.span;
  }

  get isWhole() {
    return this.span >= this.seconds;
  }

  get isClosest() {
    return this.span <= MIN_SPAN;
  }

  /** Returns the place of a time as a share of the width: 0 left, 1 right. */
  shareOf(time) {
    return (time - this.start) / this.span;
  }

  timeAt(share) {
    return this.start + share * this.span;
  }

  /** Returns the first and the last visible index, as fractions, of values that come `rate` times per second. */
  indices(rate) {
    return [this.start * rate, this.end * rate];
  }

  /** Scrolls to `start`, or to the nearest possible place. */
  moveTo(start) {
    this.start = Math.max(0, Math.min(this.seconds - this.span, start));
  }

  /** Zooms by `factor`. `time` keeps its place if it is visible, and moves to the middle otherwise. */
  zoom(factor, time) {
    const share = this.shareOf(time);
    const kept = share >= 0 && share <= 1 ? share : 0.5;
    this.span = Math.min(this.seconds, Math.max(MIN_SPAN, this.span / factor));
    this.moveTo(time - kept * this.span);
  }

  shows(time) {
    return time >= this.start && time <= this.end;
  }

  /** Scrolls so that `time` is near the left, unless it is visible. */
  reveal(time) {
    if (!this.shows(time)) this.moveTo(time - 0.1 * this.span);
  }
}
