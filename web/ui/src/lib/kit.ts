/** The recovery kit as text: which groups of its key a person types back. Pure. */

const GROUP = '[0-9A-Za-z]{6}';
const KEY = new RegExp(`(?:${GROUP}-){3,}${GROUP}`);

/** The whole groups of the recovery key; a short last one is left out. */
export function keyGroups(text: string): string[] {
  return text.match(KEY)?.[0].split('-') ?? [];
}

/** Two different places to ask for, counted from 0. `random` gives numbers from 0 to below 1. */
export function places(count: number, random: () => number): [number, number] {
  const first = Math.floor(random() * count);
  const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
  return first < second ? [first, second] : [second, first];
}

export const sameGroup = (typed: string, group: string) => typed.trim().toLowerCase() === group.toLowerCase();
