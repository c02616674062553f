// How the pages behave: keyboard, lost link, dialogs that ask, German. On invented data.
import { join } from 'node:path';
import { axe, openPage } from './browser.mjs';
import { expect, test } from './report.mjs';

export async function behave(context, mock, shots) {
  const base = mock.url;
  const { page } = await openPage(context, base, { width: 1440, scheme: 'dark' });
  await test('search by keyboard opens an app', () => search(page, base));
  await test('restore by keyboard alone', () => keyboardRestore(page, base));
  await test('arrows walk through restore points', () => arrows(page, base));
  await test('files are opened, shown as text and found', () => files(page, base));
  await test('two restore points are compared', () => compare(page, base));
  await test('in place asks for the name of the app', () => inPlace(page, base));
  await test('a taken name blocks the restore', () => takenName(page, base));
  await test('what a host lacks blocks the restore until a way round it is chosen', () => lacking(page, base));
  await test('deleting a restore point asks for the name, and it is brought back or removed for good', () => remove(page, base));
  await test('a restore point that only the bucket has is brought into the cache', () => bringBack(page, base));
  await test('space is freed as the plan says', () => freeSpace(page, base));
  await test('a lost link is said and buttons wait', () => lostLink(page, base, mock, shots));
  await test('a failing request speaks in its card', () => failing(page, base));
  await test('progress moves without reloading', () => progress(page, base));
  await test('a bad host is refused in words', () => badHost(page, base));
  await test('the theme button changes and stays', () => theme(page, base));
  await test('German is complete on the pages', () => german(page, base, shots));
  await page.close();
}

async function search(page, base) {
  await page.goto(base);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('gitea');
  await page.getByRole('option', { name: /gitea/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL('**/apps/edge-01/gitea');
  await page.getByRole('heading', { level: 1, name: 'gitea' }).waitFor();
}

async function keyboardRestore(page, base) {
  await page.goto(base);
  await page.getByRole('button', { name: 'Restore grafana' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.locator('section[aria-label="What will happen"] ol li').first().waitFor();
  for (let presses = 0; presses < 25; presses += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement?.textContent === 'Restore beside the original')) break;
  }
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByRole('progressbar').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label') === 'Restore grafana'), 'the focus does not come back');
}

async function arrows(page, base) {
  await page.goto(`${base}/apps/edge-02/nextcloud`);
  const lanes = page.getByRole('listbox');
  await lanes.focus();
  const chosen = () => page.locator('[role=option][aria-selected=true]').getAttribute('id');
  const before = await chosen();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  expect((await chosen()) !== before, 'the choice does not move');
  await page.keyboard.press('Home');
  expect(await page.locator('[role=option]').first().getAttribute('aria-selected') === 'true', 'Home does not go to the first');
}

async function files(page, base) {
  await page.goto(`${base}/apps/edge-01/gitea?tab=files`);
  await page.getByRole('button', { name: 'Open folder uploads' }).click();
  await page.getByText('picture-00199.jpg').waitFor();
  expect((await page.getByText('picture-00200.jpg').count()) === 0, 'the first page is the whole folder');
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.getByText('picture-00200.jpg').waitFor();
  await page.getByRole('button', { name: 'shop_data' }).click();
  await page.getByText('<img src=x onerror=alert(1)>.html').waitFor();
  const download = page.getByRole('link', { name: 'Download <img src=x onerror=alert(1)>.html' });
  expect((await download.getAttribute('href')).includes('path=%3Cimg+src%3Dx'), 'the name is not quoted in the address');
  expect((await page.getByRole('link', { name: 'As a zip' }).getAttribute('href')).includes('format=zip'), 'the zip is none');
  await page.getByRole('button', { name: /^Preview <img/ }).click();
  await page.getByRole('dialog').getByText("<script>alert('never run')</script>").waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: /^Put <img/ }).click();
  const back = page.getByRole('dialog', { name: 'Put back' });
  await back.getByText('PostgreSQL in container shop-db-1 wrote while its files were read').waitFor();
  await back.getByRole('textbox', { name: 'Path it gets' }).fill('restored.html');
  await back.getByRole('checkbox', { name: /^Replace what is there/ }).check();
  await back.getByRole('button', { name: 'Put back' }).click();
  await page.getByText('It is being put back; see Jobs').waitFor();
  await page.getByRole('textbox', { name: 'Search by name in all restore points' }).fill('nginx');
  await page.keyboard.press('Enter');
  await page.getByText('Not everything is shown').waitFor();
  await page.getByRole('button', { name: /^Show in the restore point .*conf\/nginx.conf$/ }).first().click();
  await page.getByRole('button', { name: 'Preview nginx.conf', exact: true }).waitFor();
}

async function compare(page, base) {
  await page.goto(`${base}/apps/edge-01/gitea?tab=files`);
  const select = page.getByLabel('Compare with');
  await select.selectOption({ index: 3 });
  await page.getByText('conf/old.conf').waitFor();
  await page.getByText('Not everything could be compared').waitFor();
  await page.getByText('size, time, and content').waitFor();
  const { lines } = await axe(page);
  expect(lines.length === 0, lines.join('\n'));
  const rows = () => page.locator('tbody tr').count();
  const first = await rows();
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.waitForFunction((count) => document.querySelectorAll('tbody tr').length > count, first);
  await page.getByRole('button', { name: 'Show: conf/app.conf' }).click();
  await page.getByRole('button', { name: 'Preview app.conf', exact: true }).waitFor();
}

async function inPlace(page, base) {
  await page.goto(base);
  await page.getByRole('button', { name: 'Restore gitea' }).click();
  await page.getByRole('radio', { name: /^In place/ }).check();
  await page.getByText('Take a safety point of gitea').waitFor();
  await page.getByRole('button', { name: 'Replace the app' }).click();
  const dialog = page.getByRole('dialog', { name: 'Replace gitea?' });
  const act = dialog.getByRole('button', { name: 'Replace the app' });
  expect(await act.isDisabled(), 'it may start without the name');
  await dialog.getByRole('textbox').fill('gitea');
  await act.click();
  await page.getByRole('dialog').getByRole('progressbar').waitFor();
}

async function takenName(page, base) {
  await page.goto(base);
  await page.getByRole('button', { name: 'Restore shop' }).click();
  await page.getByLabel('New name').fill('gitea');
  await page.getByText('There is an app named gitea').waitFor();
  expect(await page.getByRole('button', { name: 'Restore beside the original' }).isDisabled(), 'it may start into a conflict');
}

async function lacking(page, base) {
  await page.goto(base);
  await page.getByRole('button', { name: 'Restore shop' }).click();
  await page.getByRole('radio', { name: /^Another Docker host/ }).check();
  const start = page.getByRole('button', { name: 'Restore to the other host' });
  await page.getByText('needs device /dev/ttyUSB0').waitFor();
  expect(await start.isDisabled(), 'it may start without its device');
  await page.getByRole('checkbox', { name: /^Leave out devices/ }).check();
  await page.getByText('needs device /dev/ttyUSB0').waitFor({ state: 'hidden' });
  expect(await start.isEnabled(), 'the way round is none');
}

async function remove(page, base) {
  await page.goto(`${base}/apps/edge-01/grafana`);
  const rows = page.getByRole('group', { name: 'All restore points' }).locator('tbody tr');
  const gone = page.getByRole('group', { name: 'Deleted restore points' });
  await rows.first().waitFor();
  const before = await rows.count();
  const left = (count) => page.waitForFunction((wanted) => document.querySelectorAll('[aria-label="All restore points"] tbody tr').length === wanted, count);
  const dialog = page.getByRole('dialog');
  const act = async (button, name) => {
    await button.click();
    await dialog.getByRole('textbox').fill('grafana');
    await dialog.getByRole('button', { name }).click();
    await dialog.waitFor({ state: 'detached' });
  };
  const first = page.getByRole('button', { name: /^Delete restore point:/ }).first();
  await act(first, 'Delete restore point');
  await left(before - 1);
  const { lines } = await axe(page);
  expect(lines.length === 0, lines.join('\n'));
  await gone.getByRole('button', { name: /^Bring back:/ }).click();
  await page.getByText('Restore point brought back').waitFor();
  await left(before);
  await gone.waitFor({ state: 'detached' });
  await act(first, 'Delete restore point');
  await act(gone.getByRole('button', { name: /^Remove for good:/ }), 'Remove for good');
  await gone.waitFor({ state: 'detached' });
  await left(before - 1);
}

async function bringBack(page, base) {
  await page.goto(`${base}/apps/edge-01/gitea`);
  const buttons = page.locator('tbody').getByRole('button', { name: /^Bring into the cache:/ });
  await buttons.first().waitFor();
  const before = await buttons.count();
  await buttons.first().focus();
  await page.keyboard.press('Enter');
  await page.getByText('It is being brought into the cache; see Jobs').waitFor();
  await page.waitForFunction((count) => document.querySelectorAll('tbody button[aria-label^="Bring into the cache:"]').length === count, before - 1, { timeout: 15_000 });
}

async function freeSpace(page, base) {
  await page.goto(`${base}/storage`);
  await page.getByRole('button', { name: 'Free space now' }).click();
  const dialog = page.getByRole('dialog');
  const act = dialog.getByRole('button', { name: 'Free space now' });
  await dialog.getByText(/would leave the cache\./).waitFor();
  await dialog.getByLabel('Until the cache takes, in GB').fill('much');
  expect(await act.isDisabled(), 'it may start without an aim');
  await dialog.getByLabel('Until the cache takes, in GB').fill('1');
  await dialog.getByText(/more cannot: the bucket does not hold them yet/).waitFor();
  await act.click();
  await page.getByText(/^365.GB left the cache$/).waitFor();
}

async function lostLink(page, base, mock, shots) {
  await page.goto(base);
  await page.getByRole('heading', { level: 1 }).waitFor();
  mock.cut();
  await page.getByText(/^Reconnecting, showing/).waitFor({ timeout: 15_000 });
  expect(await page.getByRole('button', { name: 'Back up now' }).isDisabled(), 'buttons do not wait');
  await page.screenshot({ path: join(shots, 'lost-link.png') });
  const { lines } = await axe(page);
  expect(lines.length === 0, lines.join('\n'));
  mock.mend();
  await page.getByText(/^Reconnecting, showing/).waitFor({ state: 'hidden', timeout: 15_000 });
  expect(await page.getByRole('button', { name: 'Back up now' }).isEnabled(), 'buttons stay asleep');
}

async function failing(page, base) {
  const problem = { status: 503, kind: 'unavailable', code: 'catalog.busy', title: 'the list of policies cannot be read', detail: 'the list of policies cannot be read', hint: 'Try again in a minute.' };
  await page.route('**/api/v1/policies', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', json: problem }));
  await page.goto(`${base}/policies`);
  await page.getByText('the list of policies cannot be read').waitFor();
  await page.getByText('catalog.busy').waitFor();
  await page.unroute('**/api/v1/policies');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'gold' }).waitFor();
}

async function progress(page, base) {
  await page.goto(`${base}/jobs`);
  const bar = page.getByRole('progressbar').first();
  const text = page.getByText(/ of 184/).first();
  const before = await text.innerText();
  await bar.waitFor();
  await page.waitForFunction((old) => ![...document.querySelectorAll('div')].some((each) => each.textContent === old), before, { timeout: 8000 });
}

async function badHost(page, base) {
  await page.goto(`${base}/hosts`);
  await page.getByRole('button', { name: 'Add host' }).click();
  await page.getByLabel('Name').fill('edge-09');
  await page.getByLabel('Address').fill('tcp://nowhere:2376');
  await page.getByRole('button', { name: 'Test and add' }).click();
  await page.getByText('tcp://nowhere:2376 does not answer').waitFor();
}

async function theme(page, base) {
  await page.goto(base);
  await page.getByRole('button', { name: 'Use the light theme' }).click();
  await page.reload();
  await page.getByRole('button', { name: 'Use the dark theme' }).waitFor();
  expect(await page.evaluate(() => document.documentElement.dataset.mantineColorScheme === 'light'), 'the theme is forgotten');
  await page.evaluate(() => localStorage.removeItem('mantine-color-scheme-value'));
}

async function german(page, base, shots) {
  await page.goto(`${base}/settings`);
  await page.getByText('Deutsch').click();
  await page.getByRole('heading', { level: 1, name: 'Einstellungen' }).waitFor();
  expect(await page.evaluate(() => document.documentElement.lang === 'de'), 'the page says another language');
  await page.goto(base);
  await page.getByRole('heading', { level: 1, name: /Apps sind geschützt/ }).waitFor();
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(shots, 'overview-german.png'), fullPage: true });
  await page.evaluate(() => localStorage.removeItem('holdfast.language'));
}
