// Counts what holds and what does not; a failed test never stops the others.

let passed = 0;
const failed = [];

export async function test(name, act) {
  const began = Date.now();
  try {
    await act();
    passed += 1;
    console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    return true;
  } catch (error) {
    failed.push(name);
    console.log(`FAIL  ${name}\n      ${String(error?.message ?? error).split('\n').slice(0, 12).join('\n      ')}`);
    return false;
  }
}

export function expect(holds, what) {
  if (!holds) throw new Error(what);
}

/** Prints the sum; true when all held. */
export function summary() {
  console.log(`${passed} passed, ${failed.length} failed`);
  return failed.length === 0;
}
