import { describe, expect, it } from 'vitest';
import { sharesWith } from './verification';

describe('what is verified each day', () => {
  it('can be nothing, everything, and what somebody decided elsewhere', () => {
    expect(sharesWith(4)).toEqual([0, 1, 2, 4, 10, 25, 100]);
    expect(sharesWith(7)).toEqual([0, 1, 2, 4, 7, 10, 25, 100]);
  });
});
