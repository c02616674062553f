/** Both our languages have one and many. */
export const count = (n: number, one: string, many: string) => (n === 1 ? one : many);
