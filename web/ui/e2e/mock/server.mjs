// A stand-in for the appliance: serves dist, the API over invented data, and the event stream.
// Same headers as the real one, so that the content security policy is tried too.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { appliance } from './data.mjs';
import { routes } from './routes.mjs';
import { simulate } from './simulate.mjs';

const DIST = new URL('../../dist/', import.meta.url).pathname;
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const COOKIE = 'session=mock';

export async function start({ fresh = false, port = 0 } = {}) {
  const state = appliance({ fresh });
  const streams = new Set();
  let number = 0;
  const tell = (event) => {
    const text = `id: ${++number}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    for (const stream of streams) stream.write(text);
  };
  const stop = simulate(state, tell);
  const server = createServer((request, response) => {
    void answer(request, response, { state, streams, tell }).catch((error) => {
      console.error(error);
      send(response, 500, problem(500, 'bug', 'bug', String(error)));
    });
  });
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    state,
    tell,
    /** Cuts every stream and refuses new ones until `mend`. */
    cut: () => {
      state.cut = true;
      for (const stream of streams) stream.destroy();
    },
    mend: () => (state.cut = false),
    close: () => {
      stop();
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(request, response, house) {
  const url = new URL(request.url, 'http://mock');
  if (!url.pathname.startsWith('/api/')) return file(url.pathname, response);
  const path = url.pathname.replace(/^\/api\/v1/, '');
  const loggedIn = house.state.admin && (request.headers.cookie ?? '').includes(COOKIE);
  const open = path === '/setup' || (path === '/session' && request.method === 'POST');
  if (!loggedIn && !open) return send(response, 401, problem(401, 'denied', 'login.needed', 'Log in first'));
  if (path === '/events') return listen(request, response, house);
  const body = await read(request);
  for (const [method, pattern, act] of routes) {
    const found = method === request.method && match(pattern, path);
    if (!found) continue;
    const { status = 200, json, cookie, fault, bytes, headers } = act({ ...house, params: found, query: url.searchParams, body });
    if (cookie !== undefined) response.setHeader('set-cookie', cookie ? `${COOKIE}; Path=/; HttpOnly; SameSite=Strict` : `${COOKIE}; Path=/; Max-Age=0`);
    if (bytes !== undefined) return response.writeHead(status, headers).end(bytes);
    return fault ? send(response, fault.status, fault) : send(response, status, json);
  }
  return send(response, 404, problem(404, 'not_found', 'request.address', `there is nothing at ${path}`));
}

export const problem = (status, kind, code, title, hint = null) => ({ status, kind, code, title, detail: title, hint });

function match(pattern, path) {
  const names = pattern.split('/');
  const parts = path.split('/');
  if (names.length !== parts.length) return null;
  const params = {};
  for (const [place, name] of names.entries()) {
    if (name.startsWith(':')) params[name.slice(1)] = decodeURIComponent(parts[place]);
    else if (name !== parts[place]) return null;
  }
  return params;
}

function listen(request, response, { state, streams }) {
  if (state.cut) return response.destroy();
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  streams.add(response);
  request.on('close', () => streams.delete(response));
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString();
  return text ? JSON.parse(text) : undefined;
}

function send(response, status, json) {
  response.writeHead(status, { 'content-type': status >= 400 ? 'application/problem+json' : 'application/json', 'cache-control': 'no-store' });
  response.end(json === undefined ? undefined : JSON.stringify(json));
}

async function file(path, response) {
  const asked = normalize(path).replace(/^(\.\.[/\\])+/, '');
  const name = extname(asked) && asked.startsWith('/assets') ? asked : asked === '/icon.svg' ? asked : '/index.html';
  try {
    const content = await readFile(join(DIST, name));
    response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream', 'content-security-policy': CSP });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
}
