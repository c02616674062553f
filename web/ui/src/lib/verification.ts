/** Shares that can be verified each day. Pure. */

/** Percent; with 4 everything has been read after 25 days. */
const SHARES = [0, 1, 2, 4, 10, 25, 100];

/** What is offered, and what was decided elsewhere, in order. */
export const sharesWith = (decided: number): number[] =>
  [...new Set([...SHARES, decided])].toSorted((left, right) => left - right);
