// The stand-in appliance on a fixed port, for working on pages: `npm run mock`, with `--fresh` before set-up.
import { start } from './mock/server.mjs';

const fresh = process.argv.includes('--fresh');
const { url } = await start({ fresh, port: 8900 });
console.log(`${url}${fresh ? '/setup#mock-token' : '/login'}  (admin, correct horse battery)`);
