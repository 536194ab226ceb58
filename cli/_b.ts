import pc from 'picocolors';
import { Listr } from 'listr2';
export function hi(n: number) { console.log('hi', n, typeof pc.red, typeof Listr, import.meta.url, typeof require); }
