import { Command } from 'commander';
import { EXIT } from '../contracts/error-codes.ts';
export async function go(): Promise<void> {
  const c = new Command('x'); void c;
  const m = await import('./_b.ts');
  m.hi(EXIT.usage);
}
