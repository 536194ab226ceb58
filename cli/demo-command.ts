import type { ExitCode } from '../contracts/error-codes.ts';
import type { GlobalOptions } from './options.ts';

/** `sluice demo` */
export async function demo(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  const { runDemo } = await import('./demo.ts');
  return runDemo(options);
}
