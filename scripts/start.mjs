// `npm start`: everything from a fresh clone to the end of the demo. Arguments go to `sluice demo`.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { demandNode, installPackages, root } from './packages.mjs';

demandNode();
installPackages();
const cli = join(root, 'bin', 'sluice.js');
process.argv = [process.execPath, cli, 'demo', ...process.argv.slice(2)];
await import(pathToFileURL(cli).href);
