// The way of a new appliance: set up, kit, back up, watch, restore beside the original, done.
import { join } from 'node:path';
import { axe, openPage } from './browser.mjs';
import { PASSWORD } from './manage.mjs';
import { expect, test } from './report.mjs';

/** A first backup and a restore of a small app end well within this. */
const JOB_MS = 150_000;

/** Whether a bar was seen moving; a tiny app may be done before the page is drawn. */
let sawProgress = false;

export async function walk(context, base, token, shots) {
  const { page, faults } = await openPage(context, base, { width: 1440, scheme: 'dark' });
  const shot = (name) => page.screenshot({ path: join(shots, `walk-${name}.png`), fullPage: true });
  const clean = async () => {
    const { lines } = await axe(page);
    expect(lines.length === 0, lines.join('\n'));
  };
  let app;
  const steps = [
    ['set-up without a token explains where to find it', () => withoutToken(page, base)],
    ['account', () => account(page, base, token, shot, clean)],
    ['bucket', () => bucket(page, shot, clean)],
    ['recovery kit, typed back', () => kit(page, shot, clean)],
    ['found apps, protect all', async () => { app = await protect(page, shot, clean); }],
    ['first backup is seen live and ends', () => backup(page, base, app, shot)],
    ['restore beside the original in two clicks', () => restore(page, app, shot, clean)],
    ['progress was seen live', () => expect(sawProgress, 'no progress bar was seen; walk with a larger app')],
    ['log out and in again', () => login(page, base, shot, clean)],
    ['nothing complained on the way', () => expect(faults.filter(unexpected).length === 0, faults.join('\n'))],
  ];
  for (const [name, act] of steps) {
    if (!(await test(`walk: ${name}`, act))) {
      await shot('failed');
      break;
    }
  }
  await page.close();
  return app;
}

/** The session asked for before there is one answers 401, and Docker's new interfaces disturb the browser's loads. */
const unexpected = (fault) => !/status of 401|ERR_NETWORK_CHANGED/.test(fault);

async function withoutToken(page, base) {
  await page.goto(base);
  await page.waitForURL('**/setup');
  await page.getByText('holdfast setup-link').waitFor();
}

async function account(page, base, token, shot, clean) {
  await page.goto('about:blank');
  await page.goto(`${base}/setup#${token}`);
  await page.getByLabel('Password', { exact: false }).first().fill(PASSWORD);
  await page.getByLabel('Password again').fill(PASSWORD);
  await shot('1-account');
  await clean();
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByText('Step 2 of 4').waitFor();
  expect(!page.url().includes('#'), 'the token stays in the address');
}

async function bucket(page, shot, clean) {
  await shot('2-bucket');
  await clean();
  const next = page.getByRole('button', { name: 'Next' });
  await ((await next.count()) > 0 ? next : page.getByRole('button', { name: 'Later' })).click();
  await page.getByText('Step 3 of 4').waitFor();
}

async function kit(page, shot, clean) {
  const text = await page.locator('[data-kit]').innerText();
  await shot('3-kit');
  await clean();
  const groups = text.match(/(?:[0-9A-Za-z]{6}-){3,}[0-9A-Za-z]{6}/)[0].split('-');
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click()]);
  expect(file.suggestedFilename().endsWith('.txt'), 'the kit is not a text file');
  await page.getByRole('button', { name: 'I have stored it' }).click();
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('This is not what the kit says').first().waitFor();
  for (const field of await page.getByLabel(/^Group /).all()) {
    const label = await page.locator(`label[for="${await field.getAttribute('id')}"]`).innerText();
    await field.fill(groups[Number(label.match(/\d+/)[0]) - 1]);
  }
  await clean();
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('Step 4 of 4').waitFor();
}

async function protect(page, shot, clean) {
  await page.getByRole('button', { name: 'Protect all with Silver' }).waitFor();
  const names = await page.locator('main li a').allInnerTexts();
  expect(names.length > 0, 'no app was found');
  await shot('4-apps');
  await clean();
  await page.getByRole('button', { name: 'Protect all with Silver' }).click();
  await page.getByRole('heading', { level: 1, name: /protected/ }).waitFor();
  return process.env.APP ?? names[0];
}

async function backup(page, base, app, shot) {
  const restorable = page.getByRole('button', { name: `Restore ${app}`, exact: true });
  await seeProgress(page.getByRole('progressbar').first(), restorable);
  await shot('5-backing-up');
  await restorable.waitFor({ timeout: JOB_MS });
  await page.getByRole('progressbar').first().waitFor({ state: 'detached', timeout: JOB_MS });
  await page.goto(`${base}/jobs`);
  await page.getByText('Done', { exact: true }).first().waitFor();
  await shot('6-jobs');
  await page.goto(base);
}

async function restore(page, app, shot, clean) {
  await page.getByRole('button', { name: `Restore ${app}`, exact: true }).click();
  const start = page.getByRole('button', { name: 'Restore beside the original' });
  await page.locator('section[aria-label="What will happen"] ol li').first().waitFor();
  await shot('7-plan');
  await clean();
  await start.click();
  const end = page.getByRole('dialog').getByText(/^(Restored|Done with problems)$/);
  await seeProgress(page.getByRole('dialog').getByRole('progressbar'), end);
  await shot('8-restoring');
  await end.waitFor({ timeout: JOB_MS });
  await shot('9-restored');
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: `${app}-restore` }).first().waitFor({ timeout: 30_000 });
}

/** Waits for the bar or for the end, whichever is first. */
async function seeProgress(bar, end) {
  await bar.or(end).first().waitFor();
  sawProgress ||= (await bar.count()) > 0;
}

async function login(page, base, shot, clean) {
  await page.goto(`${base}/settings`);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL('**/login');
  await shot('10-login');
  await clean();
  await page.getByLabel('User name').fill('admin');
  await page.getByLabel('Password').first().fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { level: 1, name: /protected/ }).waitFor();
}
