// Every page in both schemes and both widths: axe clean, no complaint, nothing sideways, no other host.
import { join } from 'node:path';
import { axe, openPage, overflow } from './browser.mjs';
import { expect, test } from './report.mjs';

const SCHEMES = ['dark', 'light'];
const WIDTHS = [1440, 420];

/** Pages by name; `app` is `host/name` of one that has restore points. */
export function pagesOf(app) {
  const [host, name] = app.split('/').map(encodeURIComponent);
  return [
    ['overview', '/'],
    ['apps', '/apps'],
    ['app-points', `/apps/${host}/${name}`],
    ['app-files', `/apps/${host}/${name}?tab=files`],
    ['app-files-found', `/apps/${host}/${name}?tab=files&find=conf`],
    ['app-contents', `/apps/${host}/${name}?tab=contents`],
    ['app-policy', `/apps/${host}/${name}?tab=policy`],
    ['app-jobs', `/apps/${host}/${name}?tab=jobs`],
    ['restore', '/restore'],
    ['jobs', '/jobs'],
    ['policies', '/policies'],
    ['storage', '/storage'],
    ['hosts', '/hosts'],
    ['settings', '/settings'],
    ['recover', '/recover'],
    ['not-found', '/no/such/page'],
  ];
}

/** What opens over a page: its place and what to press. */
export function dialogsOf(app) {
  const name = app.split('/')[1];
  return [
    ['drawer', '/', [`button[aria-label="Restore ${name}"]`]],
    ['stop', '/jobs', ['button[aria-label^="Stop "]']],
    ['policy-editor', '/policies', ['text=New policy']],
    ['add-host', '/hosts', ['text=Add host']],
    ['bucket-form', '/storage', ['text=Change bucket']],
    ['cache-rule', '/storage', ['text=Change what it may take']],
    ['cache-free', '/storage', ['text=Free space now']],
    ['prune-plan', '/storage', ['text=Show what would go']],
    ['delete-point', `/apps/${app}`, ['button[aria-label^="Delete restore point"]']],
    ['file-preview', `/apps/${app}?tab=files&path=conf`, ['button[aria-label^="Preview "]']],
    ['add-passphrase', '/settings', ['text=Add passphrase']],
    ['add-escrow', '/settings', ['text=Add escrow key']],
    ['new-epoch', '/settings', ['text=New key epoch']],
    ['recover-escrow', '/recover', ['input[value="escrow"]']],
    ['search', '/', ['text=Search apps and pages']],
    ['log', '/jobs', ['li button[aria-expanded="false"]']],
  ];
}

export async function survey(context, base, pages, shots) {
  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) {
      const { page, faults } = await openPage(context, base, { width, scheme });
      for (const [name, path, presses = []] of pages) {
        const file = join(shots, `${name}-${scheme}-${width}.png`);
        await test(`${name} ${scheme} ${width}`, () => undisturbed(faults, () => visit({ page, faults, base, path, presses, file })));
      }
      await page.close();
    }
  }
}

async function visit({ page, faults, base, path, presses, file }) {
  faults.length = 0;
  await page.goto(base + path);
  await settled(page);
  for (const press of presses) {
    await page.locator(press).first().click();
    await settled(page);
  }
  await page.screenshot({ path: file, fullPage: presses.length === 0 });
  const sideways = await overflow(page);
  const { lines, passes } = await axe(page);
  expect(faults.length === 0, faults.join('\n'));
  expect(sideways <= 0, `the page can be pushed ${sideways} px sideways`);
  expect(lines.length === 0, lines.join('\n'));
  expect(passes > 10, 'axe looked at nothing');
}

/** Docker adds and removes network interfaces while others work here; the browser then drops what it was loading. */
async function undisturbed(faults, act) {
  for (let left = 3; ; left -= 1) {
    try {
      return await act();
    } catch (error) {
      if (left === 0 || !faults.some((fault) => fault.includes('ERR_NETWORK_CHANGED'))) throw error;
    }
  }
}

/** Data is there (no skeleton left) and dialogs have come to rest. */
async function settled(page) {
  await page.locator('h1').first().waitFor();
  await page.waitForFunction(() => document.querySelector('.mantine-Skeleton-root') === null, undefined, { timeout: 10_000 });
  await page.waitForTimeout(350);
}
