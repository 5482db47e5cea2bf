/** The part of a recording that the timeline shows, in seconds. */

const LEAST = 2; // seconds that fill the width at the greatest zoom

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
    return this.span <= LEAST;
  }

  /** Where in the width a time is: 0 left, 1 right. */
  shareOf(time) {
    return (time - this.start) / this.span;
  }

  timeAt(share) {
    return this.start + share * this.span;
  }

  /** Of values that come `rate` times a second, the first and the last one that are shown, as fractions. */
  among(rate) {
    return [this.start * rate, this.end * rate];
  }

  /** Shows the part from `start` on, or the nearest that there is. */
  moveTo(start) {
    this.start = Math.max(0, Math.min(this.seconds - this.span, start));
  }

  /** Shows `factor` times as much detail; `time` stays where it is, and comes to the middle if it is not shown. */
  zoom(factor, time) {
    const share = this.shareOf(time);
    const kept = share >= 0 && share <= 1 ? share : 0.5;
    this.span = Math.min(this.seconds, Math.max(LEAST, this.span / factor));
    this.moveTo(time - kept * this.span);
  }

  shows(time) {
    return time >= this.start && time <= this.end;
  }

  /** Goes on to where `time` is near the left, unless it is shown. */
  reveal(time) {
    if (!this.shows(time)) this.moveTo(time - 0.1 * this.span);
  }
}
