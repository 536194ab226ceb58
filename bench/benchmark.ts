import { cpus, release } from 'node:os';

/** What a benchmark measured. Times are milliseconds; a ratio is ours divided by what it is held against. */
export interface Benchmark {
  readonly name: string;
  readonly rounds: readonly Readonly<Record<string, number>>[];
  /** Median of each figure of the rounds. */
  readonly median: Readonly<Record<string, number>>;
  /** Median of the ratios of each round, by what it is held against. */
  readonly ratios: Readonly<Record<string, number>>;
  /** What the worker did while another transaction held the horizon, where that was tried. */
  readonly held?: Readonly<Record<string, string | number | boolean>>;
  readonly settings: Readonly<Record<string, string | number>>;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1] ?? 0, sorted[Math.floor(middle)] ?? 0];
  return (low + high) / 2;
}

/** Medians of every figure; figures keep their names. */
export function medians(rounds: Benchmark['rounds']): Record<string, number> {
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, round(median(rounds.map((one) => one[name] ?? 0)))]));
}

/** JSON for machines, lines for people. */
export function printBenchmark(benchmark: Benchmark, isJson: boolean): void {
  const { rounds, median: middle, ratios, held, settings } = benchmark;
  if (isJson) {
    process.stdout.write(
      `${JSON.stringify({ rounds, median: middle, ratios, held, settings: { ...machine(), ...settings } })}\n`,
    );
    return;
  }
  const line = (figures: Readonly<Record<string, string | number | boolean>>) =>
    Object.entries(figures)
      .map(([name, value]) => `${name} ${value}`)
      .join('  ');
  process.stdout.write(`${benchmark.name}: ${rounds.length} rounds\n`);
  for (const one of rounds) process.stdout.write(`  ${line(one)}\n`);
  process.stdout.write(`median  ${line(middle)}\nratios  ${line(ratios)}\n`);
  if (held !== undefined) process.stdout.write(`held  ${line(held)}\n`);
  for (const [name, value] of Object.entries({ ...machine(), ...settings }))
    process.stdout.write(`${name}: ${value}\n`);
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function machine(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
  };
}
