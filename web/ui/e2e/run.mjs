// Browser tests. `--mock` runs everything on invented data; `--url URL --setup-token T` walks a real,
// new appliance through set-up, backup and restore and then looks at every page of it. With `--manage` it
// also probes, checks, prunes, edits policies and replaces the app in place: only where nobody needs that app.
// Screenshots go to $SHOTS (else a new folder); $APP names the app to walk with.
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { behave } from './behave.mjs';
import { launch } from './browser.mjs';
import { manage } from './manage.mjs';
import { start } from './mock/server.mjs';
import { summary } from './report.mjs';
import { dialogsOf, pagesOf, survey } from './survey.mjs';
import { walk } from './walk.mjs';
import { weigh } from './weigh.mjs';

const { values: options } = parseArgs({
  options: { mock: { type: 'boolean' }, url: { type: 'string' }, 'setup-token': { type: 'string' }, manage: { type: 'boolean' } },
});
if (!options.mock && !(options.url && options['setup-token'])) {
  console.error('use --mock, or --url URL --setup-token TOKEN');
  process.exit(2);
}

const shots = process.env.SHOTS ?? (await mkdtemp(join(tmpdir(), 'holdfast-shots-')));
await mkdir(shots, { recursive: true });
console.log(`screenshots in ${shots}`);
const context = await launch();
try {
  await (options.mock ? onMock() : onAppliance(options.url.replace(/\/+$/, ''), options['setup-token']));
} finally {
  await context.close();
}
process.exit(summary() ? 0 : 1);

async function onMock() {
  const fresh = await start({ fresh: true });
  await walk(context, fresh.url, 'mock-token', shots);
  fresh.close();
  const mock = await start();
  await context.addCookies([{ name: 'session', value: 'mock', url: mock.url }]);
  await weigh(context, mock.url);
  await survey(context, mock.url, [...pagesOf('edge-01/gitea'), ...dialogsOf('edge-01/gitea')], shots);
  await behave(context, mock, shots);
  await manage(context, mock.url, 'edge-01/grafana', shots);
  mock.close();
}

async function onAppliance(base, token) {
  const name = await walk(context, base, token, shots);
  const apps = await (await context.request.get(`${base}/api/v1/apps`)).json();
  const app = (apps.find?.((each) => each.name === name) ?? apps[0])?.id;
  if (!app) return;
  if (options.manage) await manage(context, base, app, shots);
  await survey(context, base, pagesOf(app), shots);
}
