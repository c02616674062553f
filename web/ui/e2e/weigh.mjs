// What a first visit costs, and the whole of what is shipped.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openPage } from './browser.mjs';
import { expect, test } from './report.mjs';

const DIST = new URL('../dist/', import.meta.url).pathname;
const FIRST_ROUTE_JS = 220_000;
const WHOLE = 2_000_000;

export async function weigh(context, base) {
  await test('the first page loads at most 220 kB of scripts (gzip)', async () => {
    const { page } = await openPage(context, base, { width: 1440, scheme: 'dark' });
    const scripts = new Set();
    page.on('request', (request) => request.resourceType() === 'script' && scripts.add(new URL(request.url()).pathname));
    await page.goto(base);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForTimeout(500);
    await page.close();
    let bytes = 0;
    for (const script of scripts) bytes += gzipSync(await readFile(join(DIST, script))).length;
    console.log(`      ${scripts.size} scripts, ${(bytes / 1000).toFixed(1)} kB`);
    expect(bytes > 0 && bytes <= FIRST_ROUTE_JS, `${bytes} bytes`);
  });
  await test('everything together is at most 2 MB', async () => {
    let bytes = 0;
    for (const name of await readdir(DIST, { recursive: true })) {
      const file = await stat(join(DIST, name));
      if (file.isFile()) bytes += file.size;
    }
    console.log(`      ${(bytes / 1000).toFixed(1)} kB`);
    expect(bytes <= WHOLE, `${bytes} bytes`);
  });
}
