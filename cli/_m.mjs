import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const un = require('tsx/cjs/api').register();
const a = require('./_a.ts');
console.log('tree', performance.now());
if (process.argv[2]) { un?.(); const e = await import('tsx/esm/api'); e.register(); }
await a.go();
console.log('done', performance.now());
