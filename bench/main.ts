import { SluiceError } from '../contracts/error-codes.ts';
import { type Benchmark, printBenchmark } from './benchmark.ts';

/** Benchmarks by name; each is loaded only when it is asked for. */
const BENCHMARKS: Readonly<Record<string, () => Promise<{ run: (rounds: number) => Promise<Benchmark> }>>> = {
  macro: () => import('./macro.ts'),
  drain: () => import('./drain.ts'),
  backlog: () => import('./backlog.ts'),
  delivery: () => import('./delivery.ts'),
  'dead-endpoint': () => import('./dead-endpoint.ts'),
  replay: () => import('./replay.ts'),
};

const words = process.argv.slice(2);
const isJson = words.includes('--json');
const name = words.find((word) => !word.startsWith('-')) ?? '';
const rounds = Number(words.find((word) => word.startsWith('--rounds='))?.slice('--rounds='.length) ?? 5);
try {
  const load = BENCHMARKS[name];
  if (load === undefined || !Number.isInteger(rounds) || rounds < 1) {
    throw new SluiceError('usage', {
      what: `There is no benchmark ${JSON.stringify(name)}, or ${rounds} is no number of rounds.`,
      expected: `npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [--rounds=5] [--json]`,
      safe: 'Nothing was measured.',
    });
  }
  printBenchmark(await (await load()).run(rounds), isJson);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof SluiceError ? 2 : 1;
}
