// Upkeep by hand, on invented data and on a real appliance alike: probe, check, prune, policies, kit, in place.
import { join } from 'node:path';
import { openPage } from './browser.mjs';
import { expect, test } from './report.mjs';

export const PASSWORD = 'correct horse battery';
const JOB_MS = 90_000;

/** `app` is `host/name` of an app that may be replaced and has a restore point. */
export async function manage(context, base, app, shots) {
  const { page, faults } = await openPage(context, base, { width: 1440, scheme: 'light' });
  await test('manage: the bucket is probed and says what it does', () => probe(page, base));
  await test('manage: uploads are paused, limited and go on', () => uploads(page, base));
  await test('manage: backups are locked, and no longer', () => lock(page, base));
  await test('manage: the cache gets a quota, and shows what would leave it', () => cache(page, base));
  await test('manage: a check runs and reports', () => check(page, base));
  await test('manage: how much is verified each day is decided', () => daily(page, base));
  await test('manage: prune shows its plan and runs', () => prune(page, base));
  await test('manage: a policy is made, used and kept from removal', () => policy(page, base, app));
  await test('manage: commands around the backup are set and taken away', () => hooks(page, base, app));
  await test('manage: a second backup adds a restore point', () => secondBackup(page, base, app));
  await test('manage: the app is replaced in place after typing its name', () => inPlace(page, base, app));
  await test('manage: a restore point is deleted after typing the name', () => removePoint(page, base, app));
  await test('manage: the recovery kit is shown for the password only', () => kit(page, base));
  await test('manage: a passphrase is added, changed and removed', () => keys(page, base));
  await test('manage: a new recovery key comes with its kit', () => rotate(page, base));
  await test('manage: the self-test answers', () => doctor(page, base));
  await page.screenshot({ path: join(shots, 'manage-end.png'), fullPage: true });
  await test('manage: nothing complained', () => expect(faults.filter(unexpected).length === 0, faults.join('\n')));
  await page.close();
}

/** Refusals that the steps provoke on purpose, and Docker's interfaces coming and going. */
const unexpected = (fault) => !/status of (403|409)|ERR_NETWORK_CHANGED/.test(fault);

async function probe(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByRole('button', { name: 'Probe now' }).click();
  await page.getByText('The bucket was probed').waitFor({ timeout: JOB_MS });
  await page.getByText('Lists an object right after it is written').waitFor();
}

async function uploads(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByRole('button', { name: 'Pause uploads' }).click();
  await page.getByText('New restore points stay on this appliance alone').waitFor();
  await page.getByRole('button', { name: 'Limit uploads' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Usual limit in MB/s').fill('0.001');
  expect(await dialog.getByRole('button', { name: 'Save' }).isDisabled(), 'a limit that cannot be kept can be saved');
  await dialog.getByLabel('Usual limit in MB/s').fill('50');
  await dialog.getByRole('button', { name: 'Add hours' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The limits of uploads were saved').waitFor();
  await page.getByText('Monday to Friday, 08:00 to 18:00 UTC').waitFor();
  await page.getByRole('button', { name: 'Limit uploads' }).click();
  await dialog.getByRole('button', { name: 'Remove these hours' }).click();
  await dialog.getByLabel('Usual limit in MB/s').fill('');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Resume uploads' }).click();
  await page.getByRole('button', { name: 'Pause uploads' }).waitFor();
}

async function lock(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByRole('button', { name: 'Lock backups' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Days').fill('0');
  expect(await dialog.getByRole('button', { name: 'Save' }).isDisabled(), 'a lock of no days can be saved');
  await dialog.getByLabel('Days').fill('90');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('For 90 days, by the bucket’s owner to be ended').waitFor();
  await page.getByRole('button', { name: 'Lock backups' }).click();
  await dialog.getByText('What is locked stays locked').waitFor();
  await dialog.getByRole('button', { name: 'Lock nothing any more' }).click();
  await dialog.waitFor({ state: 'hidden' });
}

async function cache(page, base) {
  await page.goto(`${base}/storage`);
  const dialog = page.getByRole('dialog');
  const open = () => page.getByRole('button', { name: 'Change what it may take' }).click();
  const save = async () => {
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.waitFor({ state: 'detached' });
  };
  await open();
  await dialog.getByLabel('Quota in GB').fill('0.5');
  expect(await dialog.getByRole('button', { name: 'Save' }).isDisabled(), 'a quota that cannot be kept can be saved');
  await dialog.getByLabel('Quota in GB').fill('900');
  await dialog.getByLabel('When it is full').selectOption('refuse');
  await save();
  await page.getByText('What the cache may take was saved').first().waitFor();
  await page.getByText('Backups fail', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Free space now' }).click();
  await dialog.getByLabel('Until the cache takes, in GB').fill('0');
  await dialog.getByText(/would leave the cache\./).waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await open();
  await dialog.getByLabel('Quota in GB').fill('');
  await dialog.getByLabel('When it is full').selectOption('wait');
  await save();
  await page.getByText('What the disk gives', { exact: true }).waitFor();
}

async function check(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByLabel('Read and verify all data').check();
  await page.getByRole('button', { name: 'Check now' }).click();
  await page.getByText('Check started').waitFor();
  await page.getByText('The last check found nothing wrong').waitFor({ timeout: JOB_MS });
}

async function daily(page, base) {
  await page.goto(`${base}/storage`);
  const select = page.getByLabel('Verified each day by itself');
  await page.getByText(/^A day reads about/).waitFor();
  await select.selectOption('0');
  await page.getByText('Saved how much is verified each day').first().waitFor();
  await page.getByText(/^A day reads about/).waitFor({ state: 'detached' });
  await select.selectOption('4');
  await page.getByText(/^A day reads about/).waitFor();
}

async function prune(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByRole('button', { name: 'Show what would go' }).click();
  await page.getByText(/would stay\./).waitFor();
  await page.getByRole('button', { name: 'Prune now' }).click();
  await page.getByText('Prune started').waitFor();
}

async function policy(page, base, app) {
  await page.goto(`${base}/policies`);
  await page.getByRole('button', { name: 'New policy' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Not A Name');
  expect(await dialog.getByRole('button', { name: 'Save' }).isDisabled(), 'a bad name can be saved');
  await dialog.getByLabel('Name').fill('by-test');
  await dialog.getByLabel('Back up every').fill('2');
  await dialog.getByRole('radio', { name: /^Stop/ }).check();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Policy saved').waitFor();
  await page.goto(`${base}/apps/${app}?tab=policy`);
  await page.getByRole('radio', { name: /^by-test · 2 h/ }).check();
  await page.getByText('Policy saved').waitFor();
  await page.goto(`${base}/policies`);
  await page.getByRole('button', { name: 'Remove policy by-test' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('alert').waitFor();
}

async function hooks(page, base, app) {
  await page.goto(`${base}/apps/${app}?tab=policy`);
  const open = () => page.getByRole('button', { name: /^Change commands of/ }).first().click();
  const save = async () => {
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await page.getByText('Commands saved').first().waitFor();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  };
  await open();
  await page.getByRole('dialog').getByRole('textbox', { name: 'Before the hold' }).fill('echo by-test');
  await save();
  await page.getByText('echo by-test').waitFor();
  await page.getByText('set here', { exact: true }).waitFor();
  await open();
  await page.getByRole('dialog').getByRole('textbox', { name: 'Before the hold' }).fill('');
  await save();
  await page.getByText('echo by-test').waitFor({ state: 'detached' });
}

async function secondBackup(page, base, app) {
  await page.goto(`${base}/apps/${app}`);
  const rows = page.locator('tbody tr');
  await rows.first().waitFor();
  const before = await rows.count();
  // The new policy may have started one already.
  const button = page.getByRole('button', { name: 'Back up now' });
  if (await button.isEnabled()) await button.click();
  await page.waitForFunction((count) => document.querySelectorAll('tbody tr').length > count, before, { timeout: JOB_MS });
}

async function inPlace(page, base, app) {
  const name = app.split('/')[1];
  await page.goto(`${base}/apps/${app}`);
  await page.locator('tbody').getByRole('button', { name: /^Restore:/ }).last().click();
  await page.getByRole('radio', { name: /^In place/ }).check();
  await page.getByRole('button', { name: 'Replace the app' }).click();
  const dialog = page.getByRole('dialog', { name: `Replace ${name}?` });
  const act = dialog.getByRole('button', { name: 'Replace the app' });
  expect(await act.isDisabled(), 'it may start without the name');
  await dialog.getByRole('textbox').fill(name);
  await act.click();
  await page.getByRole('dialog').getByText(/^(Restored|Done with problems)$/).waitFor({ timeout: JOB_MS });
}

async function removePoint(page, base, app) {
  await page.goto(`${base}/apps/${app}`);
  const rows = page.getByRole('group', { name: 'All restore points' }).locator('tbody tr');
  await rows.first().waitFor();
  const before = await rows.count();
  await page.getByRole('button', { name: /^Delete restore point:/ }).last().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox').fill(app.split('/')[1]);
  await dialog.getByRole('button', { name: 'Delete restore point' }).click();
  await page.getByText('Restore point deleted').waitFor({ timeout: JOB_MS });
  const listed = '[aria-label="All restore points"] tbody tr';
  await page.waitForFunction(([at, count]) => document.querySelectorAll(at).length < count, [listed, before]);
  await page.getByRole('button', { name: /^Bring back:/ }).first().click();
  await page.getByText('Restore point brought back').waitFor();
  await page.waitForFunction(([at, count]) => document.querySelectorAll(at).length === count, [listed, before]);
}

async function kit(page, base) {
  await page.goto(`${base}/settings`);
  const field = page.getByLabel('Your password, to show the kit').first();
  const show = page.getByRole('button', { name: 'Show recovery kit' });
  await field.fill('not the password');
  await show.click();
  await page.getByRole('alert').waitFor();
  await field.fill(PASSWORD);
  await show.click();
  await page.locator('[data-kit]').waitFor();
}

async function keys(page, base) {
  await page.goto(`${base}/settings`);
  await page.getByRole('button', { name: 'Add passphrase' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Whose it is').fill('Grace');
  await passphrase(dialog, 'a first long passphrase');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('The passphrase opens the backups now').waitFor({ timeout: JOB_MS });
  await page.getByRole('button', { name: 'Change passphrase Grace' }).click();
  await passphrase(dialog, 'a second long passphrase');
  await dialog.getByRole('button', { name: 'Change', exact: true }).click();
  await page.getByText('The new passphrase counts').waitFor({ timeout: JOB_MS });
  await dialog.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Remove Grace' }).click();
  await dialog.getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByText('Removed', { exact: true }).waitFor({ timeout: JOB_MS });
  await page.getByRole('button', { name: 'Remove Grace' }).waitFor({ state: 'detached' });
}

async function passphrase(dialog, words) {
  await dialog.getByLabel('Passphrase', { exact: false }).first().fill(words);
  await dialog.getByLabel('The same again').fill(words);
  await dialog.getByLabel('Your password').fill(PASSWORD);
}

async function rotate(page, base) {
  await page.goto(`${base}/settings`);
  await page.getByRole('button', { name: 'New recovery key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Your password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Make new keys' }).click();
  await dialog.locator('[data-kit]').waitFor({ timeout: JOB_MS });
  await dialog.getByText('The old kit opens nothing any more. Store this one now.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).first().click();
}

async function doctor(page, base) {
  await page.goto(`${base}/settings`);
  await page.getByRole('button', { name: 'Run the self-test' }).click();
  await page.getByText(/^(Works|Fails)$/).first().waitFor({ timeout: JOB_MS });
}
